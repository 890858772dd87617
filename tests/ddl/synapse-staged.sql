IF OBJECT_ID('tempdb..#trunkline_staged') IS NULL
CREATE TABLE #trunkline_staged (
    [line] INT NOT NULL,
    [event_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [interaction_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [event_timestamp] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [interaction_type] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [direction] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [state] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [duration_seconds] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [queue_name] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [agent_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [recording_url] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [event_counter] VARCHAR(20) NULL
)
WITH (DISTRIBUTION = HASH([event_id]), HEAP);

TRUNCATE TABLE #trunkline_staged;

INSERT INTO #trunkline_staged ([line], [event_id], [interaction_id], [event_timestamp], [interaction_type], [direction], [state], [duration_seconds], [queue_name], [agent_id], [recording_url], [event_counter])
SELECT @P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8, @P9, @P10, @P11, @P12;

SELECT CAST([line] AS NVARCHAR(20)), CAST([problem] AS NVARCHAR(20))
FROM (
SELECT [line], CASE
  WHEN [event_id] IS NULL THEN 0
  WHEN LEN(CAST([event_id] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 1
  WHEN [interaction_id] IS NULL THEN 2
  WHEN LEN(CAST([interaction_id] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 3
  WHEN [event_timestamp] IS NULL OR [event_timestamp] NOT LIKE '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]Z' OR TRY_CONVERT(DATETIME2(3), LEFT([event_timestamp], 23), 126) IS NULL THEN 4
  WHEN LEN(CAST([interaction_type] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 50 THEN 5
  WHEN LEN(CAST([direction] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 50 THEN 6
  WHEN LEN(CAST([state] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 50 THEN 7
  WHEN [duration_seconds] IS NOT NULL AND (TRY_CONVERT(INT, [duration_seconds]) IS NULL OR CONVERT(VARCHAR(20), TRY_CONVERT(INT, [duration_seconds])) + '.' <> [duration_seconds] + '.') THEN 8
  WHEN LEN(CAST([queue_name] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 9
  WHEN LEN(CAST([agent_id] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 10
  WHEN LEN(CAST([recording_url] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 2048 THEN 11 END AS [problem]
FROM #trunkline_staged
) AS v
WHERE [problem] IS NOT NULL;

DELETE FROM #trunkline_staged
WHERE CASE
  WHEN [event_id] IS NULL THEN 0
  WHEN LEN(CAST([event_id] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 1
  WHEN [interaction_id] IS NULL THEN 2
  WHEN LEN(CAST([interaction_id] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 3
  WHEN [event_timestamp] IS NULL OR [event_timestamp] NOT LIKE '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]Z' OR TRY_CONVERT(DATETIME2(3), LEFT([event_timestamp], 23), 126) IS NULL THEN 4
  WHEN LEN(CAST([interaction_type] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 50 THEN 5
  WHEN LEN(CAST([direction] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 50 THEN 6
  WHEN LEN(CAST([state] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 50 THEN 7
  WHEN [duration_seconds] IS NOT NULL AND (TRY_CONVERT(INT, [duration_seconds]) IS NULL OR CONVERT(VARCHAR(20), TRY_CONVERT(INT, [duration_seconds])) + '.' <> [duration_seconds] + '.') THEN 8
  WHEN LEN(CAST([queue_name] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 9
  WHEN LEN(CAST([agent_id] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 255 THEN 10
  WHEN LEN(CAST([recording_url] AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC + N'.') - 1 > 2048 THEN 11 END IS NOT NULL;

BEGIN TRANSACTION;

MERGE INTO [cc_analytics].[fact_interactions] AS t
USING (
SELECT [event_id], [interaction_id], [event_timestamp], [interaction_type], [direction], [state], [duration_seconds], [queue_name], [agent_id], [source_system], [event_counter]
FROM (
SELECT r.*, ROW_NUMBER() OVER (
PARTITION BY r.[event_id], DATALENGTH(r.[event_id])
ORDER BY COALESCE(r.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) DESC,
  COALESCE(r.[event_counter], -4294967296) DESC,
  COALESCE(CAST(r.[interaction_id] AS VARBINARY(8000)), 0x) DESC,
  COALESCE(CAST(r.[interaction_type] AS VARBINARY(8000)), 0x) DESC,
  COALESCE(CAST(r.[direction] AS VARBINARY(8000)), 0x) DESC,
  COALESCE(CAST(r.[state] AS VARBINARY(8000)), 0x) DESC,
  COALESCE(r.[duration_seconds], -4294967296) DESC,
  COALESCE(CAST(r.[queue_name] AS VARBINARY(8000)), 0x) DESC,
  COALESCE(CAST(r.[agent_id] AS VARBINARY(8000)), 0x) DESC) AS [place]
FROM (
SELECT [event_id] AS [event_id], [interaction_id] AS [interaction_id], CONVERT(DATETIME2(3), LEFT([event_timestamp], 23), 126) AS [event_timestamp], [interaction_type] AS [interaction_type], [direction] AS [direction], [state] AS [state], CONVERT(INT, [duration_seconds]) AS [duration_seconds], [queue_name] AS [queue_name], [agent_id] AS [agent_id], @P1 AS [source_system], CONVERT(BIGINT, [event_counter]) AS [event_counter]
FROM #trunkline_staged
) AS r
) AS n
WHERE [place] = 1
) AS s
ON t.[event_id] = s.[event_id] AND DATALENGTH(t.[event_id]) = DATALENGTH(s.[event_id])
WHEN MATCHED AND (COALESCE(s.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) > COALESCE(t.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3)))
  OR (COALESCE(s.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) = COALESCE(t.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) AND (COALESCE(s.[event_counter], -4294967296) > COALESCE(t.[event_counter], -4294967296)
  OR (COALESCE(s.[event_counter], -4294967296) = COALESCE(t.[event_counter], -4294967296) AND (COALESCE(CAST(s.[interaction_id] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[interaction_id] AS VARBINARY(8000)), 0x)
  OR (COALESCE(CAST(s.[interaction_id] AS VARBINARY(8000)), 0x) = COALESCE(CAST(t.[interaction_id] AS VARBINARY(8000)), 0x) AND (COALESCE(CAST(s.[interaction_type] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[interaction_type] AS VARBINARY(8000)), 0x)
  OR (COALESCE(CAST(s.[interaction_type] AS VARBINARY(8000)), 0x) = COALESCE(CAST(t.[interaction_type] AS VARBINARY(8000)), 0x) AND (COALESCE(CAST(s.[direction] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[direction] AS VARBINARY(8000)), 0x)
  OR (COALESCE(CAST(s.[direction] AS VARBINARY(8000)), 0x) = COALESCE(CAST(t.[direction] AS VARBINARY(8000)), 0x) AND (COALESCE(CAST(s.[state] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[state] AS VARBINARY(8000)), 0x)
  OR (COALESCE(CAST(s.[state] AS VARBINARY(8000)), 0x) = COALESCE(CAST(t.[state] AS VARBINARY(8000)), 0x) AND (COALESCE(s.[duration_seconds], -4294967296) > COALESCE(t.[duration_seconds], -4294967296)
  OR (COALESCE(s.[duration_seconds], -4294967296) = COALESCE(t.[duration_seconds], -4294967296) AND (COALESCE(CAST(s.[queue_name] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[queue_name] AS VARBINARY(8000)), 0x)
  OR (COALESCE(CAST(s.[queue_name] AS VARBINARY(8000)), 0x) = COALESCE(CAST(t.[queue_name] AS VARBINARY(8000)), 0x) AND (COALESCE(CAST(s.[agent_id] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[agent_id] AS VARBINARY(8000)), 0x))))))))))))))))))
THEN UPDATE SET [interaction_id] = s.[interaction_id], [event_timestamp] = s.[event_timestamp], [interaction_type] = s.[interaction_type], [direction] = s.[direction], [state] = s.[state], [duration_seconds] = s.[duration_seconds], [queue_name] = s.[queue_name], [agent_id] = s.[agent_id], [source_system] = s.[source_system], [event_counter] = s.[event_counter]
WHEN NOT MATCHED BY TARGET
THEN INSERT ([event_id], [interaction_id], [event_timestamp], [interaction_type], [direction], [state], [duration_seconds], [queue_name], [agent_id], [source_system], [event_counter], [created_at])
VALUES (s.[event_id], s.[interaction_id], s.[event_timestamp], s.[interaction_type], s.[direction], s.[state], s.[duration_seconds], s.[queue_name], s.[agent_id], s.[source_system], s.[event_counter], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

MERGE INTO [cc_analytics].[call_recordings] AS t
USING (
SELECT [event_id], [interaction_id], [recording_url], [event_timestamp], [event_counter]
FROM (
SELECT r.*, ROW_NUMBER() OVER (
PARTITION BY r.[event_id], DATALENGTH(r.[event_id])
ORDER BY COALESCE(r.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) DESC,
  COALESCE(r.[event_counter], -4294967296) DESC,
  COALESCE(CAST(r.[interaction_id] AS VARBINARY(8000)), 0x) DESC,
  COALESCE(CAST(r.[recording_url] AS VARBINARY(8000)), 0x) DESC) AS [place]
FROM (
SELECT [event_id] AS [event_id], [interaction_id] AS [interaction_id], [recording_url] AS [recording_url], CONVERT(DATETIME2(3), LEFT([event_timestamp], 23), 126) AS [event_timestamp], CONVERT(BIGINT, [event_counter]) AS [event_counter]
FROM #trunkline_staged
WHERE [recording_url] IS NOT NULL
) AS r
) AS n
WHERE [place] = 1
) AS s
ON t.[event_id] = s.[event_id] AND DATALENGTH(t.[event_id]) = DATALENGTH(s.[event_id])
WHEN MATCHED AND (COALESCE(s.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) > COALESCE(t.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3)))
  OR (COALESCE(s.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) = COALESCE(t.[event_timestamp], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) AND (COALESCE(s.[event_counter], -4294967296) > COALESCE(t.[event_counter], -4294967296)
  OR (COALESCE(s.[event_counter], -4294967296) = COALESCE(t.[event_counter], -4294967296) AND (COALESCE(CAST(s.[interaction_id] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[interaction_id] AS VARBINARY(8000)), 0x)
  OR (COALESCE(CAST(s.[interaction_id] AS VARBINARY(8000)), 0x) = COALESCE(CAST(t.[interaction_id] AS VARBINARY(8000)), 0x) AND (COALESCE(CAST(s.[recording_url] AS VARBINARY(8000)), 0x) > COALESCE(CAST(t.[recording_url] AS VARBINARY(8000)), 0x))))))))
THEN UPDATE SET [interaction_id] = s.[interaction_id], [recording_url] = s.[recording_url], [event_timestamp] = s.[event_timestamp], [event_counter] = s.[event_counter]
WHEN NOT MATCHED BY TARGET
THEN INSERT ([event_id], [interaction_id], [recording_url], [event_timestamp], [event_counter], [created_at])
VALUES (s.[event_id], s.[interaction_id], s.[recording_url], s.[event_timestamp], s.[event_counter], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

MERGE INTO [cc_analytics].[dim_agents] AS t
USING (
SELECT [agent_id], @P1 AS [source_system]
FROM #trunkline_staged
WHERE [agent_id] IS NOT NULL
GROUP BY [agent_id], DATALENGTH([agent_id])
) AS s
ON t.[agent_id] = s.[agent_id] AND DATALENGTH(t.[agent_id]) = DATALENGTH(s.[agent_id])
WHEN NOT MATCHED BY TARGET
THEN INSERT ([agent_id], [source_system], [created_at])
VALUES (s.[agent_id], s.[source_system], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

MERGE INTO [cc_analytics].[dim_queues] AS t
USING (
SELECT [queue_name], @P1 AS [source_system]
FROM #trunkline_staged
WHERE [queue_name] IS NOT NULL
GROUP BY [queue_name], DATALENGTH([queue_name])
) AS s
ON t.[queue_name] = s.[queue_name] AND DATALENGTH(t.[queue_name]) = DATALENGTH(s.[queue_name])
WHEN NOT MATCHED BY TARGET
THEN INSERT ([queue_name], [source_system], [created_at])
VALUES (s.[queue_name], s.[source_system], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

MERGE INTO [cc_analytics].[dim_time] AS t
USING (
SELECT h AS [hour_start], CAST(h AS DATE) AS [date], YEAR(h) AS [year], DATEPART(QUARTER, h) AS [quarter], MONTH(h) AS [month], DAY(h) AS [day], DATEPART(HOUR, h) AS [hour],
(DATEDIFF(DAY, CAST('1900-01-01' AS DATE), h) % 7 + 7) % 7 + 1 AS [day_of_week]
FROM (
SELECT DISTINCT DATEADD(HOUR, DATEDIFF(HOUR, CAST('2000-01-01T00:00:00' AS DATETIME2(3)), CONVERT(DATETIME2(3), LEFT([event_timestamp], 23), 126)), CAST('2000-01-01T00:00:00' AS DATETIME2(3))) AS h
FROM #trunkline_staged
) AS hours
) AS s
ON t.[hour_start] = s.[hour_start]
WHEN NOT MATCHED BY TARGET
THEN INSERT ([hour_start], [date], [year], [quarter], [month], [day], [hour], [day_of_week])
VALUES (s.[hour_start], s.[date], s.[year], s.[quarter], s.[month], s.[day], s.[hour], s.[day_of_week]);

COMMIT TRANSACTION;

-- after an error
IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;
