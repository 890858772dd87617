IF OBJECT_ID('tempdb..#trunkline_fact_interactions') IS NULL
CREATE TABLE #trunkline_fact_interactions (
    [event_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [interaction_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [event_timestamp] DATETIME2(3) NULL,
    [interaction_type] VARCHAR(200) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [direction] VARCHAR(200) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [state] VARCHAR(200) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [duration_seconds] INT NULL,
    [queue_name] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [agent_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [source_system] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [event_counter] BIGINT NULL
)
WITH (DISTRIBUTION = HASH([event_id]), HEAP);

TRUNCATE TABLE #trunkline_fact_interactions;

INSERT INTO #trunkline_fact_interactions ([event_id], [interaction_id], [event_timestamp], [interaction_type], [direction], [state], [duration_seconds], [queue_name], [agent_id], [source_system], [event_counter])
SELECT @P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8, @P9, @P10, @P11;

IF OBJECT_ID('tempdb..#trunkline_call_recordings') IS NULL
CREATE TABLE #trunkline_call_recordings (
    [event_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [interaction_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [recording_url] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [event_timestamp] DATETIME2(3) NULL,
    [event_counter] BIGINT NULL
)
WITH (DISTRIBUTION = HASH([event_id]), HEAP);

TRUNCATE TABLE #trunkline_call_recordings;

INSERT INTO #trunkline_call_recordings ([event_id], [interaction_id], [recording_url], [event_timestamp], [event_counter])
SELECT @P1, @P2, @P3, @P4, @P5;

IF OBJECT_ID('tempdb..#trunkline_dim_agents') IS NULL
CREATE TABLE #trunkline_dim_agents (
    [agent_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [source_system] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL
)
WITH (DISTRIBUTION = HASH([agent_id]), HEAP);

TRUNCATE TABLE #trunkline_dim_agents;

INSERT INTO #trunkline_dim_agents ([agent_id], [source_system])
SELECT @P1, @P2;

IF OBJECT_ID('tempdb..#trunkline_dim_queues') IS NULL
CREATE TABLE #trunkline_dim_queues (
    [queue_name] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [source_system] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL
)
WITH (DISTRIBUTION = HASH([queue_name]), HEAP);

TRUNCATE TABLE #trunkline_dim_queues;

INSERT INTO #trunkline_dim_queues ([queue_name], [source_system])
SELECT @P1, @P2;

IF OBJECT_ID('tempdb..#trunkline_dim_time') IS NULL
CREATE TABLE #trunkline_dim_time (
    [hour_start] DATETIME2(3) NULL,
    [date] DATE NULL,
    [year] INT NULL,
    [quarter] INT NULL,
    [month] INT NULL,
    [day] INT NULL,
    [hour] INT NULL,
    [day_of_week] INT NULL
)
WITH (DISTRIBUTION = HASH([hour_start]), HEAP);

TRUNCATE TABLE #trunkline_dim_time;

INSERT INTO #trunkline_dim_time ([hour_start], [date], [year], [quarter], [month], [day], [hour], [day_of_week])
SELECT @P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8;

IF OBJECT_ID('tempdb..#trunkline_load_freshness') IS NULL
CREATE TABLE #trunkline_load_freshness (
    [slot] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [minute] DATETIME2(3) NULL,
    [writer] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [rows_loaded] BIGINT NULL,
    [lag_max_ms] BIGINT NULL,
    [lag_sum_ms] BIGINT NULL,
    [newest_event] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([slot]), HEAP);

TRUNCATE TABLE #trunkline_load_freshness;

INSERT INTO #trunkline_load_freshness ([slot], [minute], [writer], [rows_loaded], [lag_max_ms], [lag_sum_ms], [newest_event])
SELECT @P1, @P2, @P3, @P4, @P5, @P6, @P7;

IF OBJECT_ID('tempdb..#trunkline_load_completeness') IS NULL
CREATE TABLE #trunkline_load_completeness (
    [completeness_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [run_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [hour_start] DATETIME2(3) NULL,
    [records_read] BIGINT NULL,
    [records_loaded] BIGINT NULL,
    [records_elsewhere] BIGINT NULL,
    [records_dropped] BIGINT NULL,
    [records_refused] BIGINT NULL,
    [records_unexplained] BIGINT NULL,
    [rows_written] BIGINT NULL,
    [rows_unchanged] BIGINT NULL,
    [written_at] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([completeness_id]), HEAP);

TRUNCATE TABLE #trunkline_load_completeness;

INSERT INTO #trunkline_load_completeness ([completeness_id], [run_id], [hour_start], [records_read], [records_loaded], [records_elsewhere], [records_dropped], [records_refused], [records_unexplained], [rows_written], [rows_unchanged], [written_at])
SELECT @P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8, @P9, @P10, @P11, @P12;

BEGIN TRANSACTION;

MERGE INTO [cc_analytics].[fact_interactions] AS t
USING (
SELECT [event_id], [interaction_id], [event_timestamp], [interaction_type], [direction], [state], [duration_seconds], [queue_name], [agent_id], [source_system], [event_counter]
FROM #trunkline_fact_interactions
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
FROM #trunkline_call_recordings
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
SELECT [agent_id], [source_system]
FROM #trunkline_dim_agents
) AS s
ON t.[agent_id] = s.[agent_id] AND DATALENGTH(t.[agent_id]) = DATALENGTH(s.[agent_id])
WHEN NOT MATCHED BY TARGET
THEN INSERT ([agent_id], [source_system], [created_at])
VALUES (s.[agent_id], s.[source_system], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

MERGE INTO [cc_analytics].[dim_queues] AS t
USING (
SELECT [queue_name], [source_system]
FROM #trunkline_dim_queues
) AS s
ON t.[queue_name] = s.[queue_name] AND DATALENGTH(t.[queue_name]) = DATALENGTH(s.[queue_name])
WHEN NOT MATCHED BY TARGET
THEN INSERT ([queue_name], [source_system], [created_at])
VALUES (s.[queue_name], s.[source_system], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

MERGE INTO [cc_analytics].[dim_time] AS t
USING (
SELECT [hour_start], [date], [year], [quarter], [month], [day], [hour], [day_of_week]
FROM #trunkline_dim_time
) AS s
ON t.[hour_start] = s.[hour_start]
WHEN NOT MATCHED BY TARGET
THEN INSERT ([hour_start], [date], [year], [quarter], [month], [day], [hour], [day_of_week])
VALUES (s.[hour_start], s.[date], s.[year], s.[quarter], s.[month], s.[day], s.[hour], s.[day_of_week]);

MERGE INTO [cc_analytics].[load_freshness] AS t
USING (
SELECT [slot], [minute], [writer], [rows_loaded], [lag_max_ms], [lag_sum_ms], [newest_event]
FROM #trunkline_load_freshness
) AS s
ON t.[slot] = s.[slot] AND DATALENGTH(t.[slot]) = DATALENGTH(s.[slot])
WHEN MATCHED AND (COALESCE(s.[rows_loaded], -4294967296) > COALESCE(t.[rows_loaded], -4294967296))
THEN UPDATE SET [minute] = s.[minute], [writer] = s.[writer], [rows_loaded] = s.[rows_loaded], [lag_max_ms] = s.[lag_max_ms], [lag_sum_ms] = s.[lag_sum_ms], [newest_event] = s.[newest_event]
WHEN NOT MATCHED BY TARGET
THEN INSERT ([slot], [minute], [writer], [rows_loaded], [lag_max_ms], [lag_sum_ms], [newest_event])
VALUES (s.[slot], s.[minute], s.[writer], s.[rows_loaded], s.[lag_max_ms], s.[lag_sum_ms], s.[newest_event]);

MERGE INTO [cc_analytics].[load_completeness] AS t
USING (
SELECT [completeness_id], [run_id], [hour_start], [records_read], [records_loaded], [records_elsewhere], [records_dropped], [records_refused], [records_unexplained], [rows_written], [rows_unchanged], [written_at]
FROM #trunkline_load_completeness
) AS s
ON t.[completeness_id] = s.[completeness_id] AND DATALENGTH(t.[completeness_id]) = DATALENGTH(s.[completeness_id])
WHEN MATCHED AND (COALESCE(s.[written_at], CAST('0001-01-01T00:00:00' AS DATETIME2(3))) > COALESCE(t.[written_at], CAST('0001-01-01T00:00:00' AS DATETIME2(3))))
THEN UPDATE SET [run_id] = s.[run_id], [hour_start] = s.[hour_start], [records_read] = s.[records_read], [records_loaded] = s.[records_loaded], [records_elsewhere] = s.[records_elsewhere], [records_dropped] = s.[records_dropped], [records_refused] = s.[records_refused], [records_unexplained] = s.[records_unexplained], [rows_written] = s.[rows_written], [rows_unchanged] = s.[rows_unchanged], [written_at] = s.[written_at]
WHEN NOT MATCHED BY TARGET
THEN INSERT ([completeness_id], [run_id], [hour_start], [records_read], [records_loaded], [records_elsewhere], [records_dropped], [records_refused], [records_unexplained], [rows_written], [rows_unchanged], [written_at], [created_at])
VALUES (s.[completeness_id], s.[run_id], s.[hour_start], s.[records_read], s.[records_loaded], s.[records_elsewhere], s.[records_dropped], s.[records_refused], s.[records_unexplained], s.[rows_written], s.[rows_unchanged], s.[written_at], CAST(SYSUTCDATETIME() AS DATETIME2(3)));

COMMIT TRANSACTION;

-- after an error
IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;
