BEGIN TRANSACTION;

MERGE INTO `cc_analytics`.`call_recordings` AS t
USING (
SELECT JSON_VALUE(r, '$[0]') AS `event_id`, JSON_VALUE(r, '$[1]') AS `interaction_id`, JSON_VALUE(r, '$[2]') AS `recording_url`, CAST(JSON_VALUE(r, '$[3]') AS TIMESTAMP) AS `event_timestamp`, CAST(JSON_VALUE(r, '$[4]') AS INT64) AS `event_counter`
FROM UNNEST(JSON_QUERY_ARRAY(@rows0)) AS r
) AS s
ON t.`event_id` = s.`event_id`
WHEN MATCHED AND (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') > COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') OR (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') = COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') AND (COALESCE(s.`event_counter`, -4294967296) > COALESCE(t.`event_counter`, -4294967296) OR (COALESCE(s.`event_counter`, -4294967296) = COALESCE(t.`event_counter`, -4294967296) AND (COALESCE(s.`interaction_id`, '') > COALESCE(t.`interaction_id`, '') OR (COALESCE(s.`interaction_id`, '') = COALESCE(t.`interaction_id`, '') AND (COALESCE(s.`recording_url`, '') > COALESCE(t.`recording_url`, '')))))))) THEN UPDATE SET `interaction_id` = s.`interaction_id`, `recording_url` = s.`recording_url`, `event_timestamp` = s.`event_timestamp`, `event_counter` = s.`event_counter`
WHEN NOT MATCHED THEN INSERT (`event_id`, `interaction_id`, `recording_url`, `event_timestamp`, `event_counter`) VALUES (s.`event_id`, s.`interaction_id`, s.`recording_url`, s.`event_timestamp`, s.`event_counter`);

MERGE INTO `cc_analytics`.`dim_agents` AS t
USING (
SELECT JSON_VALUE(r, '$[0]') AS `agent_id`, JSON_VALUE(r, '$[1]') AS `source_system`
FROM UNNEST(JSON_QUERY_ARRAY(@rows1)) AS r
) AS s
ON t.`agent_id` = s.`agent_id`
WHEN NOT MATCHED THEN INSERT (`agent_id`, `source_system`) VALUES (s.`agent_id`, s.`source_system`);

MERGE INTO `cc_analytics`.`dim_queues` AS t
USING (
SELECT JSON_VALUE(r, '$[0]') AS `queue_name`, JSON_VALUE(r, '$[1]') AS `source_system`
FROM UNNEST(JSON_QUERY_ARRAY(@rows2)) AS r
) AS s
ON t.`queue_name` = s.`queue_name`
WHEN NOT MATCHED THEN INSERT (`queue_name`, `source_system`) VALUES (s.`queue_name`, s.`source_system`);

MERGE INTO `cc_analytics`.`dim_time` AS t
USING (
SELECT CAST(JSON_VALUE(r, '$[0]') AS TIMESTAMP) AS `hour_start`, CAST(JSON_VALUE(r, '$[1]') AS DATE) AS `date`, CAST(JSON_VALUE(r, '$[2]') AS INT64) AS `year`, CAST(JSON_VALUE(r, '$[3]') AS INT64) AS `quarter`, CAST(JSON_VALUE(r, '$[4]') AS INT64) AS `month`, CAST(JSON_VALUE(r, '$[5]') AS INT64) AS `day`, CAST(JSON_VALUE(r, '$[6]') AS INT64) AS `hour`, CAST(JSON_VALUE(r, '$[7]') AS INT64) AS `day_of_week`
FROM UNNEST(JSON_QUERY_ARRAY(@rows3)) AS r
) AS s
ON t.`hour_start` = s.`hour_start`
WHEN NOT MATCHED THEN INSERT (`hour_start`, `date`, `year`, `quarter`, `month`, `day`, `hour`, `day_of_week`) VALUES (s.`hour_start`, s.`date`, s.`year`, s.`quarter`, s.`month`, s.`day`, s.`hour`, s.`day_of_week`);

MERGE INTO `cc_analytics`.`load_completeness` AS t
USING (
SELECT JSON_VALUE(r, '$[0]') AS `completeness_id`, JSON_VALUE(r, '$[1]') AS `run_id`, CAST(JSON_VALUE(r, '$[2]') AS TIMESTAMP) AS `hour_start`, CAST(JSON_VALUE(r, '$[3]') AS INT64) AS `records_read`, CAST(JSON_VALUE(r, '$[4]') AS INT64) AS `records_loaded`, CAST(JSON_VALUE(r, '$[5]') AS INT64) AS `records_elsewhere`, CAST(JSON_VALUE(r, '$[6]') AS INT64) AS `records_dropped`, CAST(JSON_VALUE(r, '$[7]') AS INT64) AS `records_refused`, CAST(JSON_VALUE(r, '$[8]') AS INT64) AS `records_unexplained`, CAST(JSON_VALUE(r, '$[9]') AS INT64) AS `rows_written`, CAST(JSON_VALUE(r, '$[10]') AS INT64) AS `rows_unchanged`, CAST(JSON_VALUE(r, '$[11]') AS TIMESTAMP) AS `written_at`
FROM UNNEST(JSON_QUERY_ARRAY(@rows4)) AS r
) AS s
ON t.`completeness_id` = s.`completeness_id`
WHEN MATCHED AND (COALESCE(s.`written_at`, TIMESTAMP '0001-01-01 00:00:00+00') > COALESCE(t.`written_at`, TIMESTAMP '0001-01-01 00:00:00+00')) THEN UPDATE SET `run_id` = s.`run_id`, `hour_start` = s.`hour_start`, `records_read` = s.`records_read`, `records_loaded` = s.`records_loaded`, `records_elsewhere` = s.`records_elsewhere`, `records_dropped` = s.`records_dropped`, `records_refused` = s.`records_refused`, `records_unexplained` = s.`records_unexplained`, `rows_written` = s.`rows_written`, `rows_unchanged` = s.`rows_unchanged`, `written_at` = s.`written_at`
WHEN NOT MATCHED THEN INSERT (`completeness_id`, `run_id`, `hour_start`, `records_read`, `records_loaded`, `records_elsewhere`, `records_dropped`, `records_refused`, `records_unexplained`, `rows_written`, `rows_unchanged`, `written_at`) VALUES (s.`completeness_id`, s.`run_id`, s.`hour_start`, s.`records_read`, s.`records_loaded`, s.`records_elsewhere`, s.`records_dropped`, s.`records_refused`, s.`records_unexplained`, s.`rows_written`, s.`rows_unchanged`, s.`written_at`);

MERGE INTO `cc_analytics`.`fact_interactions` AS t
USING (
SELECT JSON_VALUE(r, '$[0]') AS `event_id`, JSON_VALUE(r, '$[1]') AS `interaction_id`, CAST(JSON_VALUE(r, '$[2]') AS TIMESTAMP) AS `event_timestamp`, JSON_VALUE(r, '$[3]') AS `interaction_type`, JSON_VALUE(r, '$[4]') AS `direction`, JSON_VALUE(r, '$[5]') AS `state`, CAST(JSON_VALUE(r, '$[6]') AS INT64) AS `duration_seconds`, JSON_VALUE(r, '$[7]') AS `queue_name`, JSON_VALUE(r, '$[8]') AS `agent_id`, JSON_VALUE(r, '$[9]') AS `source_system`, CAST(JSON_VALUE(r, '$[10]') AS INT64) AS `event_counter`
FROM UNNEST(JSON_QUERY_ARRAY(@rows5)) AS r
) AS s
ON t.`event_id` = s.`event_id`
WHEN MATCHED AND (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') > COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') OR (COALESCE(s.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') = COALESCE(t.`event_timestamp`, TIMESTAMP '0001-01-01 00:00:00+00') AND (COALESCE(s.`event_counter`, -4294967296) > COALESCE(t.`event_counter`, -4294967296) OR (COALESCE(s.`event_counter`, -4294967296) = COALESCE(t.`event_counter`, -4294967296) AND (COALESCE(s.`interaction_id`, '') > COALESCE(t.`interaction_id`, '') OR (COALESCE(s.`interaction_id`, '') = COALESCE(t.`interaction_id`, '') AND (COALESCE(s.`interaction_type`, '') > COALESCE(t.`interaction_type`, '') OR (COALESCE(s.`interaction_type`, '') = COALESCE(t.`interaction_type`, '') AND (COALESCE(s.`direction`, '') > COALESCE(t.`direction`, '') OR (COALESCE(s.`direction`, '') = COALESCE(t.`direction`, '') AND (COALESCE(s.`state`, '') > COALESCE(t.`state`, '') OR (COALESCE(s.`state`, '') = COALESCE(t.`state`, '') AND (COALESCE(s.`duration_seconds`, -4294967296) > COALESCE(t.`duration_seconds`, -4294967296) OR (COALESCE(s.`duration_seconds`, -4294967296) = COALESCE(t.`duration_seconds`, -4294967296) AND (COALESCE(s.`queue_name`, '') > COALESCE(t.`queue_name`, '') OR (COALESCE(s.`queue_name`, '') = COALESCE(t.`queue_name`, '') AND (COALESCE(s.`agent_id`, '') > COALESCE(t.`agent_id`, '')))))))))))))))))) THEN UPDATE SET `interaction_id` = s.`interaction_id`, `event_timestamp` = s.`event_timestamp`, `interaction_type` = s.`interaction_type`, `direction` = s.`direction`, `state` = s.`state`, `duration_seconds` = s.`duration_seconds`, `queue_name` = s.`queue_name`, `agent_id` = s.`agent_id`, `source_system` = s.`source_system`, `event_counter` = s.`event_counter`
WHEN NOT MATCHED THEN INSERT (`event_id`, `interaction_id`, `event_timestamp`, `interaction_type`, `direction`, `state`, `duration_seconds`, `queue_name`, `agent_id`, `source_system`, `event_counter`) VALUES (s.`event_id`, s.`interaction_id`, s.`event_timestamp`, s.`interaction_type`, s.`direction`, s.`state`, s.`duration_seconds`, s.`queue_name`, s.`agent_id`, s.`source_system`, s.`event_counter`);

MERGE INTO `cc_analytics`.`load_freshness` AS t
USING (
SELECT JSON_VALUE(r, '$[0]') AS `slot`, CAST(JSON_VALUE(r, '$[1]') AS TIMESTAMP) AS `minute`, JSON_VALUE(r, '$[2]') AS `writer`, CAST(JSON_VALUE(r, '$[3]') AS INT64) AS `rows_loaded`, CAST(JSON_VALUE(r, '$[4]') AS INT64) AS `lag_max_ms`, CAST(JSON_VALUE(r, '$[5]') AS INT64) AS `lag_sum_ms`, CAST(JSON_VALUE(r, '$[6]') AS TIMESTAMP) AS `newest_event`
FROM UNNEST(JSON_QUERY_ARRAY(@rows6)) AS r
) AS s
ON t.`slot` = s.`slot`
WHEN MATCHED AND (COALESCE(s.`rows_loaded`, -4294967296) > COALESCE(t.`rows_loaded`, -4294967296)) THEN UPDATE SET `minute` = s.`minute`, `writer` = s.`writer`, `rows_loaded` = s.`rows_loaded`, `lag_max_ms` = s.`lag_max_ms`, `lag_sum_ms` = s.`lag_sum_ms`, `newest_event` = s.`newest_event`
WHEN NOT MATCHED THEN INSERT (`slot`, `minute`, `writer`, `rows_loaded`, `lag_max_ms`, `lag_sum_ms`, `newest_event`) VALUES (s.`slot`, s.`minute`, s.`writer`, s.`rows_loaded`, s.`lag_max_ms`, s.`lag_sum_ms`, s.`newest_event`);

COMMIT TRANSACTION;
