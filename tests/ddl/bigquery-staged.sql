CREATE OR REPLACE TEMP TABLE stg_interactions AS
SELECT CAST(JSON_VALUE(r, '$[0]') AS INT64) AS `line`, JSON_VALUE(r, '$[1]') AS `event_id`, JSON_VALUE(r, '$[2]') AS `interaction_id`, JSON_VALUE(r, '$[3]') AS `event_timestamp`, JSON_VALUE(r, '$[4]') AS `interaction_type`, JSON_VALUE(r, '$[5]') AS `direction`, JSON_VALUE(r, '$[6]') AS `state`, JSON_VALUE(r, '$[7]') AS `duration_seconds`, JSON_VALUE(r, '$[8]') AS `queue_name`, JSON_VALUE(r, '$[9]') AS `agent_id`, JSON_VALUE(r, '$[10]') AS `recording_url`, CAST(JSON_VALUE(r, '$[11]') AS INT64) AS `event_counter`
FROM UNNEST(JSON_QUERY_ARRAY(@cells)) AS r;

CREATE OR REPLACE TEMP TABLE stg_refused AS
SELECT `line`, problem
FROM (
SELECT `line`, CASE
  WHEN `event_id` IS NULL THEN 0
  WHEN CHAR_LENGTH(`event_id`) > 255 THEN 1
  WHEN `interaction_id` IS NULL THEN 2
  WHEN CHAR_LENGTH(`interaction_id`) > 255 THEN 3
  WHEN `event_timestamp` IS NULL OR NOT REGEXP_CONTAINS(`event_timestamp`, r'^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$') OR LEFT(`event_timestamp`, 4) = '0000' OR SAFE_CAST(LEFT(`event_timestamp`, 10) AS DATE) IS NULL THEN 4
  WHEN CHAR_LENGTH(`interaction_type`) > 50 THEN 5
  WHEN CHAR_LENGTH(`direction`) > 50 THEN 6
  WHEN CHAR_LENGTH(`state`) > 50 THEN 7
  WHEN `duration_seconds` IS NOT NULL AND (NOT REGEXP_CONTAINS(`duration_seconds`, r'^-?[0-9]{1,10}$') OR SAFE_CAST(`duration_seconds` AS INT64) NOT BETWEEN -2147483648 AND 2147483647) THEN 8
  WHEN CHAR_LENGTH(`queue_name`) > 255 THEN 9
  WHEN CHAR_LENGTH(`agent_id`) > 255 THEN 10
  WHEN CHAR_LENGTH(`recording_url`) > 2048 THEN 11 END AS problem
FROM stg_interactions
) AS judged
WHERE problem IS NOT NULL;

DELETE FROM stg_interactions
WHERE `line` IN (SELECT `line` FROM stg_refused);

BEGIN TRANSACTION;

MERGE INTO `cc_analytics`.`fact_interactions` AS t
USING (
SELECT `event_id`, `interaction_id`, `event_timestamp`, `interaction_type`, `direction`, `state`, `duration_seconds`, `queue_name`, `agent_id`, `source_system`, `event_counter`
FROM (
SELECT r.*, ROW_NUMBER() OVER (PARTITION BY r.`event_id` ORDER BY r.`event_timestamp` DESC NULLS LAST, r.`event_counter` DESC NULLS LAST, r.`interaction_id` DESC NULLS LAST, r.`interaction_type` DESC NULLS LAST, r.`direction` DESC NULLS LAST, r.`state` DESC NULLS LAST, r.`duration_seconds` DESC NULLS LAST, r.`queue_name` DESC NULLS LAST, r.`agent_id` DESC NULLS LAST) AS place
FROM (
SELECT `event_id`, `interaction_id`, CAST(`event_timestamp` AS TIMESTAMP) AS `event_timestamp`, `interaction_type`, `direction`, `state`, CAST(`duration_seconds` AS INT64) AS `duration_seconds`, `queue_name`, `agent_id`, @source_system AS `source_system`, `event_counter`
FROM stg_interactions
) AS r
) AS ranked
WHERE place = 1
) AS s
ON t.`event_id` = s.`event_id`
WHEN MATCHED AND (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') > COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') OR (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') = COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') AND (COALESCE(s.`event_counter`, -4294967296) > COALESCE(t.`event_counter`, -4294967296) OR (COALESCE(s.`event_counter`, -4294967296) = COALESCE(t.`event_counter`, -4294967296) AND (COALESCE(s.`interaction_id`, '') > COALESCE(t.`interaction_id`, '') OR (COALESCE(s.`interaction_id`, '') = COALESCE(t.`interaction_id`, '') AND (COALESCE(s.`interaction_type`, '') > COALESCE(t.`interaction_type`, '') OR (COALESCE(s.`interaction_type`, '') = COALESCE(t.`interaction_type`, '') AND (COALESCE(s.`direction`, '') > COALESCE(t.`direction`, '') OR (COALESCE(s.`direction`, '') = COALESCE(t.`direction`, '') AND (COALESCE(s.`state`, '') > COALESCE(t.`state`, '') OR (COALESCE(s.`state`, '') = COALESCE(t.`state`, '') AND (COALESCE(s.`duration_seconds`, -4294967296) > COALESCE(t.`duration_seconds`, -4294967296) OR (COALESCE(s.`duration_seconds`, -4294967296) = COALESCE(t.`duration_seconds`, -4294967296) AND (COALESCE(s.`queue_name`, '') > COALESCE(t.`queue_name`, '') OR (COALESCE(s.`queue_name`, '') = COALESCE(t.`queue_name`, '') AND (COALESCE(s.`agent_id`, '') > COALESCE(t.`agent_id`, '')))))))))))))))))) THEN UPDATE SET `interaction_id` = s.`interaction_id`, `event_timestamp` = s.`event_timestamp`, `interaction_type` = s.`interaction_type`, `direction` = s.`direction`, `state` = s.`state`, `duration_seconds` = s.`duration_seconds`, `queue_name` = s.`queue_name`, `agent_id` = s.`agent_id`, `source_system` = s.`source_system`, `event_counter` = s.`event_counter`
WHEN NOT MATCHED THEN INSERT (`event_id`, `interaction_id`, `event_timestamp`, `interaction_type`, `direction`, `state`, `duration_seconds`, `queue_name`, `agent_id`, `source_system`, `event_counter`) VALUES (s.`event_id`, s.`interaction_id`, s.`event_timestamp`, s.`interaction_type`, s.`direction`, s.`state`, s.`duration_seconds`, s.`queue_name`, s.`agent_id`, s.`source_system`, s.`event_counter`);

MERGE INTO `cc_analytics`.`call_recordings` AS t
USING (
SELECT `event_id`, `interaction_id`, `recording_url`, `event_timestamp`, `event_counter`
FROM (
SELECT r.*, ROW_NUMBER() OVER (PARTITION BY r.`event_id` ORDER BY r.`event_timestamp` DESC NULLS LAST, r.`event_counter` DESC NULLS LAST, r.`interaction_id` DESC NULLS LAST, r.`recording_url` DESC NULLS LAST) AS place
FROM (
SELECT `event_id`, `interaction_id`, `recording_url`, CAST(`event_timestamp` AS TIMESTAMP) AS `event_timestamp`, `event_counter`
FROM stg_interactions
WHERE `recording_url` IS NOT NULL
) AS r
) AS ranked
WHERE place = 1
) AS s
ON t.`event_id` = s.`event_id`
WHEN MATCHED AND (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') > COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') OR (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') = COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') AND (COALESCE(s.`event_counter`, -4294967296) > COALESCE(t.`event_counter`, -4294967296) OR (COALESCE(s.`event_counter`, -4294967296) = COALESCE(t.`event_counter`, -4294967296) AND (COALESCE(s.`interaction_id`, '') > COALESCE(t.`interaction_id`, '') OR (COALESCE(s.`interaction_id`, '') = COALESCE(t.`interaction_id`, '') AND (COALESCE(s.`recording_url`, '') > COALESCE(t.`recording_url`, '')))))))) THEN UPDATE SET `interaction_id` = s.`interaction_id`, `recording_url` = s.`recording_url`, `event_timestamp` = s.`event_timestamp`, `event_counter` = s.`event_counter`
WHEN NOT MATCHED THEN INSERT (`event_id`, `interaction_id`, `recording_url`, `event_timestamp`, `event_counter`) VALUES (s.`event_id`, s.`interaction_id`, s.`recording_url`, s.`event_timestamp`, s.`event_counter`);

MERGE INTO `cc_analytics`.`dim_agents` AS t
USING (
SELECT DISTINCT `agent_id`, @source_system AS `source_system`
FROM stg_interactions
WHERE `agent_id` IS NOT NULL
) AS s
ON t.`agent_id` = s.`agent_id`
WHEN NOT MATCHED THEN INSERT (`agent_id`, `source_system`) VALUES (s.`agent_id`, s.`source_system`);

MERGE INTO `cc_analytics`.`dim_queues` AS t
USING (
SELECT DISTINCT `queue_name`, @source_system AS `source_system`
FROM stg_interactions
WHERE `queue_name` IS NOT NULL
) AS s
ON t.`queue_name` = s.`queue_name`
WHEN NOT MATCHED THEN INSERT (`queue_name`, `source_system`) VALUES (s.`queue_name`, s.`source_system`);

MERGE INTO `cc_analytics`.`dim_time` AS t
USING (
SELECT h AS `hour_start`, EXTRACT(DATE FROM h) AS `date`, EXTRACT(YEAR FROM h) AS `year`, EXTRACT(QUARTER FROM h) AS `quarter`, EXTRACT(MONTH FROM h) AS `month`, EXTRACT(DAY FROM h) AS `day`, EXTRACT(HOUR FROM h) AS `hour`, MOD(EXTRACT(DAYOFWEEK FROM h) + 5, 7) + 1 AS `day_of_week`
FROM (
SELECT DISTINCT TIMESTAMP_TRUNC(CAST(`event_timestamp` AS TIMESTAMP), HOUR) AS h
FROM stg_interactions
) AS hours
) AS s
ON t.`hour_start` = s.`hour_start`
WHEN NOT MATCHED THEN INSERT (`hour_start`, `date`, `year`, `quarter`, `month`, `day`, `hour`, `day_of_week`) VALUES (s.`hour_start`, s.`date`, s.`year`, s.`quarter`, s.`month`, s.`day`, s.`hour`, s.`day_of_week`);

COMMIT TRANSACTION;

SELECT `line`, problem
FROM stg_refused;
