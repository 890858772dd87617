CREATE SCHEMA IF NOT EXISTS `cc_analytics`;

CREATE TABLE IF NOT EXISTS `cc_analytics`.`fact_interactions` (
    `event_id` STRING(255) NOT NULL,
    `interaction_id` STRING(255) NOT NULL,
    `event_timestamp` TIMESTAMP,
    `interaction_type` STRING(50),
    `direction` STRING(50),
    `state` STRING(50),
    `duration_seconds` INT64,
    `queue_name` STRING(255),
    `agent_id` STRING(255),
    `source_system` STRING(255) DEFAULT 'GENESYS_CLOUD',
    `event_counter` INT64 DEFAULT 0 NOT NULL,
    `created_at` TIMESTAMP DEFAULT CURRENT_TIMESTAMP(),
    PRIMARY KEY (`event_id`) NOT ENFORCED
)
PARTITION BY DATE(`event_timestamp`)
CLUSTER BY `queue_name`, `interaction_type`;

CREATE TABLE IF NOT EXISTS `cc_analytics`.`dim_agents` (
    `agent_id` STRING(255) NOT NULL,
    `source_system` STRING(255) DEFAULT 'GENESYS_CLOUD',
    `created_at` TIMESTAMP DEFAULT CURRENT_TIMESTAMP(),
    PRIMARY KEY (`agent_id`) NOT ENFORCED
);

CREATE TABLE IF NOT EXISTS `cc_analytics`.`dim_queues` (
    `queue_name` STRING(255) NOT NULL,
    `source_system` STRING(255) DEFAULT 'GENESYS_CLOUD',
    `created_at` TIMESTAMP DEFAULT CURRENT_TIMESTAMP(),
    PRIMARY KEY (`queue_name`) NOT ENFORCED
);

CREATE TABLE IF NOT EXISTS `cc_analytics`.`dim_time` (
    `hour_start` TIMESTAMP NOT NULL,
    `date` DATE NOT NULL,
    `year` INT64 NOT NULL,
    `quarter` INT64 NOT NULL,
    `month` INT64 NOT NULL,
    `day` INT64 NOT NULL,
    `hour` INT64 NOT NULL,
    `day_of_week` INT64 NOT NULL,
    PRIMARY KEY (`hour_start`) NOT ENFORCED
);

CREATE TABLE IF NOT EXISTS `cc_analytics`.`call_recordings` (
    `event_id` STRING(255) NOT NULL,
    `interaction_id` STRING(255) NOT NULL,
    `recording_url` STRING(2048) NOT NULL,
    `event_timestamp` TIMESTAMP,
    `event_counter` INT64 DEFAULT 0 NOT NULL,
    `created_at` TIMESTAMP DEFAULT CURRENT_TIMESTAMP(),
    PRIMARY KEY (`event_id`) NOT ENFORCED
)
CLUSTER BY `interaction_id`;

CREATE TABLE IF NOT EXISTS `cc_analytics`.`load_completeness` (
    `completeness_id` STRING(255) NOT NULL,
    `run_id` STRING(255) NOT NULL,
    `hour_start` TIMESTAMP,
    `records_read` INT64 DEFAULT 0 NOT NULL,
    `records_loaded` INT64 DEFAULT 0 NOT NULL,
    `records_elsewhere` INT64 DEFAULT 0 NOT NULL,
    `records_dropped` INT64 DEFAULT 0 NOT NULL,
    `records_refused` INT64 DEFAULT 0 NOT NULL,
    `records_unexplained` INT64 DEFAULT 0 NOT NULL,
    `rows_written` INT64 DEFAULT 0 NOT NULL,
    `rows_unchanged` INT64 DEFAULT 0 NOT NULL,
    `written_at` TIMESTAMP NOT NULL,
    `created_at` TIMESTAMP DEFAULT CURRENT_TIMESTAMP(),
    PRIMARY KEY (`completeness_id`) NOT ENFORCED
);

CREATE TABLE IF NOT EXISTS `cc_analytics`.`load_freshness` (
    `slot` STRING(255) NOT NULL,
    `minute` TIMESTAMP NOT NULL,
    `writer` STRING(255) NOT NULL,
    `rows_loaded` INT64 DEFAULT 0 NOT NULL,
    `lag_max_ms` INT64 DEFAULT 0 NOT NULL,
    `lag_sum_ms` INT64 DEFAULT 0 NOT NULL,
    `newest_event` TIMESTAMP,
    PRIMARY KEY (`slot`) NOT ENFORCED
);

CREATE OR REPLACE VIEW `cc_analytics`.`freshness_by_hour` AS
SELECT TIMESTAMP_TRUNC(minute, HOUR) AS hour_start, sum(rows_loaded) AS rows_loaded,
    max(lag_max_ms) / 1000.0 AS lag_max_seconds,
    sum(lag_sum_ms) / 1000.0 / sum(rows_loaded) AS lag_mean_seconds,
    max(newest_event) AS newest_event
FROM `cc_analytics`.`load_freshness`
WHERE rows_loaded > 0
GROUP BY TIMESTAMP_TRUNC(minute, HOUR);

CREATE OR REPLACE VIEW `cc_analytics`.`completeness_by_hour` AS
SELECT c.`run_id`, c.`hour_start`, c.`records_read`, c.`records_loaded`, c.`records_elsewhere`, c.`records_dropped`, c.`records_refused`, c.`records_unexplained`, c.`rows_written`, c.`rows_unchanged`, c.`written_at`, f.`fact_rows`
FROM `cc_analytics`.`load_completeness` c
LEFT JOIN (
    SELECT TIMESTAMP_TRUNC(`event_timestamp`, HOUR) AS `hour_start`, COUNT(*) AS `fact_rows`
    FROM `cc_analytics`.`fact_interactions`
    GROUP BY TIMESTAMP_TRUNC(`event_timestamp`, HOUR)
) f ON f.`hour_start` = c.`hour_start`;

-- BigQuery makes no roles: name who is to read, such as `group:reports@example.com`
-- or `serviceAccount:…`, and the statement that grants it is printed here.
