-- cc_analytics for Azure Synapse, dedicated SQL pool. Times are UTC.
-- Keys are not enforced there, and secondary indexes are left out: the facts are a
-- columnstore ordered by time.
IF NOT EXISTS (SELECT 1 FROM sys.schemas WHERE name = N'cc_analytics') EXEC(N'CREATE SCHEMA [cc_analytics]');

IF OBJECT_ID(N'[cc_analytics].[fact_interactions]', 'U') IS NULL
CREATE TABLE [cc_analytics].[fact_interactions] (
    [event_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [interaction_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
    [event_timestamp] DATETIME2(3) NULL,
    [interaction_type] VARCHAR(200) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [direction] VARCHAR(200) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [state] VARCHAR(200) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [duration_seconds] INT NULL,
    [queue_name] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [agent_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
    [source_system] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL DEFAULT 'GENESYS_CLOUD',
    [event_counter] BIGINT NOT NULL DEFAULT 0,
    [created_at] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([event_id]), CLUSTERED COLUMNSTORE INDEX ORDER ([event_timestamp]));

IF OBJECT_ID(N'[cc_analytics].[dim_agents]', 'U') IS NULL
CREATE TABLE [cc_analytics].[dim_agents] (
    [agent_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [source_system] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL DEFAULT 'GENESYS_CLOUD',
    [created_at] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([agent_id]), HEAP);

IF OBJECT_ID(N'[cc_analytics].[dim_queues]', 'U') IS NULL
CREATE TABLE [cc_analytics].[dim_queues] (
    [queue_name] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [source_system] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NULL DEFAULT 'GENESYS_CLOUD',
    [created_at] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([queue_name]), HEAP);

IF OBJECT_ID(N'[cc_analytics].[dim_time]', 'U') IS NULL
CREATE TABLE [cc_analytics].[dim_time] (
    [hour_start] DATETIME2(3) NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [date] DATE NOT NULL,
    [year] INT NOT NULL,
    [quarter] INT NOT NULL,
    [month] INT NOT NULL,
    [day] INT NOT NULL,
    [hour] INT NOT NULL,
    [day_of_week] INT NOT NULL
)
WITH (DISTRIBUTION = HASH([hour_start]), HEAP);

IF OBJECT_ID(N'[cc_analytics].[call_recordings]', 'U') IS NULL
CREATE TABLE [cc_analytics].[call_recordings] (
    [event_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [interaction_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
    [recording_url] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
    [event_timestamp] DATETIME2(3) NULL,
    [event_counter] BIGINT NOT NULL DEFAULT 0,
    [created_at] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([event_id]), CLUSTERED COLUMNSTORE INDEX);

IF OBJECT_ID(N'[cc_analytics].[load_completeness]', 'U') IS NULL
CREATE TABLE [cc_analytics].[load_completeness] (
    [completeness_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [run_id] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
    [hour_start] DATETIME2(3) NULL,
    [records_read] BIGINT NOT NULL DEFAULT 0,
    [records_loaded] BIGINT NOT NULL DEFAULT 0,
    [records_elsewhere] BIGINT NOT NULL DEFAULT 0,
    [records_dropped] BIGINT NOT NULL DEFAULT 0,
    [records_refused] BIGINT NOT NULL DEFAULT 0,
    [records_unexplained] BIGINT NOT NULL DEFAULT 0,
    [rows_written] BIGINT NOT NULL DEFAULT 0,
    [rows_unchanged] BIGINT NOT NULL DEFAULT 0,
    [written_at] DATETIME2(3) NOT NULL,
    [created_at] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([completeness_id]), HEAP);

IF OBJECT_ID(N'[cc_analytics].[load_freshness]', 'U') IS NULL
CREATE TABLE [cc_analytics].[load_freshness] (
    [slot] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED,
    [minute] DATETIME2(3) NOT NULL,
    [writer] VARCHAR(1020) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
    [rows_loaded] BIGINT NOT NULL DEFAULT 0,
    [lag_max_ms] BIGINT NOT NULL DEFAULT 0,
    [lag_sum_ms] BIGINT NOT NULL DEFAULT 0,
    [newest_event] DATETIME2(3) NULL
)
WITH (DISTRIBUTION = HASH([slot]), HEAP);

IF OBJECT_ID(N'[cc_analytics].[freshness_by_hour]', 'V') IS NOT NULL DROP VIEW [cc_analytics].[freshness_by_hour];
EXEC(N'CREATE VIEW [cc_analytics].[freshness_by_hour] AS
SELECT DATEADD(HOUR, DATEDIFF(HOUR, CAST(''2000-01-01T00:00:00'' AS DATETIME2(3)), minute), CAST(''2000-01-01T00:00:00'' AS DATETIME2(3))) AS hour_start, sum(rows_loaded) AS rows_loaded,
    max(lag_max_ms) / 1000.0 AS lag_max_seconds,
    sum(lag_sum_ms) / 1000.0 / sum(rows_loaded) AS lag_mean_seconds,
    max(newest_event) AS newest_event
FROM [cc_analytics].[load_freshness]
WHERE rows_loaded > 0
GROUP BY DATEADD(HOUR, DATEDIFF(HOUR, CAST(''2000-01-01T00:00:00'' AS DATETIME2(3)), minute), CAST(''2000-01-01T00:00:00'' AS DATETIME2(3)))');

IF OBJECT_ID(N'[cc_analytics].[completeness_by_hour]', 'V') IS NOT NULL DROP VIEW [cc_analytics].[completeness_by_hour];
EXEC(N'CREATE VIEW [cc_analytics].[completeness_by_hour] AS
SELECT c.[run_id], c.[hour_start], c.[records_read], c.[records_loaded], c.[records_elsewhere], c.[records_dropped], c.[records_refused], c.[records_unexplained], c.[rows_written], c.[rows_unchanged], c.[written_at], f.[fact_rows]
FROM [cc_analytics].[load_completeness] c
LEFT JOIN (
    SELECT DATEADD(HOUR, DATEDIFF(HOUR, CAST(''2000-01-01T00:00:00'' AS DATETIME2(3)), [event_timestamp]), CAST(''2000-01-01T00:00:00'' AS DATETIME2(3))) AS [hour_start], COUNT(*) AS [fact_rows]
    FROM [cc_analytics].[fact_interactions]
    GROUP BY DATEADD(HOUR, DATEDIFF(HOUR, CAST(''2000-01-01T00:00:00'' AS DATETIME2(3)), [event_timestamp]), CAST(''2000-01-01T00:00:00'' AS DATETIME2(3)))
) f ON f.[hour_start] = c.[hour_start]');

IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = N'reporting')
CREATE ROLE [reporting];
GRANT SELECT ON SCHEMA::[cc_analytics] TO [reporting];
-- Then, for each user of a reporting tool: EXEC sp_addrolemember N'reporting', N'user';
