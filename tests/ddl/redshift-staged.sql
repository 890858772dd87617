CREATE TEMP TABLE IF NOT EXISTS stg_fact_interactions ("event_id" VARCHAR(1020), "interaction_id" VARCHAR(1020), "event_timestamp" TIMESTAMP, "interaction_type" VARCHAR(200), "direction" VARCHAR(200), "state" VARCHAR(200), "duration_seconds" INTEGER, "queue_name" VARCHAR(1020), "agent_id" VARCHAR(1020), "source_system" VARCHAR(1020), "event_counter" BIGINT);

CREATE TEMP TABLE IF NOT EXISTS stg_call_recordings ("event_id" VARCHAR(1020), "interaction_id" VARCHAR(1020), "recording_url" VARCHAR(8192), "event_timestamp" TIMESTAMP, "event_counter" BIGINT);

CREATE TEMP TABLE IF NOT EXISTS stg_dim_agents ("agent_id" VARCHAR(1020), "source_system" VARCHAR(1020));

CREATE TEMP TABLE IF NOT EXISTS stg_dim_queues ("queue_name" VARCHAR(1020), "source_system" VARCHAR(1020));

CREATE TEMP TABLE IF NOT EXISTS stg_dim_time ("hour_start" TIMESTAMP, "date" DATE, "year" INTEGER, "quarter" INTEGER, "month" INTEGER, "day" INTEGER, "hour" INTEGER, "day_of_week" INTEGER);

CREATE TEMP TABLE IF NOT EXISTS stg_load_freshness ("slot" VARCHAR(1020), "minute" TIMESTAMP, "writer" VARCHAR(1020), "rows_loaded" BIGINT, "lag_max_ms" BIGINT, "lag_sum_ms" BIGINT, "newest_event" TIMESTAMP);

CREATE TEMP TABLE IF NOT EXISTS stg_load_completeness ("completeness_id" VARCHAR(1020), "run_id" VARCHAR(1020), "hour_start" TIMESTAMP, "records_read" BIGINT, "records_loaded" BIGINT, "records_elsewhere" BIGINT, "records_dropped" BIGINT, "records_refused" BIGINT, "records_unexplained" BIGINT, "rows_written" BIGINT, "rows_unchanged" BIGINT, "written_at" TIMESTAMP);

CREATE TEMP TABLE IF NOT EXISTS stg_interactions (line BIGINT, event_id VARCHAR(65535), interaction_id VARCHAR(65535), event_timestamp VARCHAR(65535), interaction_type VARCHAR(65535), direction VARCHAR(65535), state VARCHAR(65535), duration_seconds VARCHAR(65535), queue_name VARCHAR(65535), agent_id VARCHAR(65535), recording_url VARCHAR(65535), event_counter VARCHAR(20));

BEGIN;

LOCK "cc_analytics"."fact_interactions", "cc_analytics"."call_recordings", "cc_analytics"."dim_agents", "cc_analytics"."dim_queues", "cc_analytics"."dim_time", "cc_analytics"."load_freshness", "cc_analytics"."load_completeness";

DELETE FROM stg_interactions;

INSERT INTO stg_interactions VALUES (CAST($1 AS BIGINT), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

SELECT line, problem FROM (SELECT line, CASE WHEN event_id IS NULL THEN 0 WHEN char_length(event_id) > 255 THEN 1 WHEN interaction_id IS NULL THEN 2 WHEN char_length(interaction_id) > 255 THEN 3 WHEN event_timestamp IS NULL OR event_timestamp !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$' OR substring(event_timestamp, 1, 4) = '0000' THEN 4 WHEN substring(event_timestamp, 6, 5) IN ('02-30', '02-31', '04-31', '06-31', '09-31', '11-31') THEN 5 WHEN substring(event_timestamp, 6, 5) = '02-29' AND NOT (CAST(substring(event_timestamp, 1, 4) AS integer) % 4 = 0 AND (CAST(substring(event_timestamp, 1, 4) AS integer) % 100 <> 0 OR CAST(substring(event_timestamp, 1, 4) AS integer) % 400 = 0)) THEN 6 WHEN char_length(interaction_type) > 50 THEN 7 WHEN char_length(direction) > 50 THEN 8 WHEN char_length(state) > 50 THEN 9 WHEN duration_seconds !~ '^-?[0-9]{1,10}$' THEN 10 WHEN CAST(duration_seconds AS bigint) NOT BETWEEN -2147483648 AND 2147483647 THEN 11 WHEN char_length(queue_name) > 255 THEN 12 WHEN char_length(agent_id) > 255 THEN 13 WHEN char_length(recording_url) > 2048 THEN 14 END AS problem FROM stg_interactions) AS checked WHERE problem IS NOT NULL;

DELETE FROM stg_interactions WHERE line IN ($1);

DELETE FROM stg_fact_interactions;

INSERT INTO stg_fact_interactions SELECT event_id, interaction_id, CAST(event_timestamp AS timestamp), interaction_type, direction, state, CAST(duration_seconds AS integer), queue_name, agent_id, 'source_system', CAST(event_counter AS bigint) FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp  DESC NULLS LAST, CAST(event_counter AS bigint) DESC NULLS LAST, interaction_id  DESC NULLS LAST, interaction_type  DESC NULLS LAST, direction  DESC NULLS LAST, state  DESC NULLS LAST, CAST(duration_seconds AS integer) DESC NULLS LAST, queue_name  DESC NULLS LAST, agent_id  DESC NULLS LAST) AS place FROM stg_interactions WHERE 1 = 1) AS ranked WHERE place = 1 ORDER BY 1;

DELETE FROM stg_fact_interactions USING "cc_analytics"."fact_interactions" WHERE stg_fact_interactions."event_id" = "cc_analytics"."fact_interactions"."event_id"
AND NOT (COALESCE(stg_fact_interactions."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) > COALESCE("cc_analytics"."fact_interactions"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) OR (COALESCE(stg_fact_interactions."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) = COALESCE("cc_analytics"."fact_interactions"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) AND (COALESCE(stg_fact_interactions."event_counter", -4294967296) > COALESCE("cc_analytics"."fact_interactions"."event_counter", -4294967296) OR (COALESCE(stg_fact_interactions."event_counter", -4294967296) = COALESCE("cc_analytics"."fact_interactions"."event_counter", -4294967296) AND (COALESCE(stg_fact_interactions."interaction_id", '') > COALESCE("cc_analytics"."fact_interactions"."interaction_id", '') OR (COALESCE(stg_fact_interactions."interaction_id", '') = COALESCE("cc_analytics"."fact_interactions"."interaction_id", '') AND (COALESCE(stg_fact_interactions."interaction_type", '') > COALESCE("cc_analytics"."fact_interactions"."interaction_type", '') OR (COALESCE(stg_fact_interactions."interaction_type", '') = COALESCE("cc_analytics"."fact_interactions"."interaction_type", '') AND (COALESCE(stg_fact_interactions."direction", '') > COALESCE("cc_analytics"."fact_interactions"."direction", '') OR (COALESCE(stg_fact_interactions."direction", '') = COALESCE("cc_analytics"."fact_interactions"."direction", '') AND (COALESCE(stg_fact_interactions."state", '') > COALESCE("cc_analytics"."fact_interactions"."state", '') OR (COALESCE(stg_fact_interactions."state", '') = COALESCE("cc_analytics"."fact_interactions"."state", '') AND (COALESCE(stg_fact_interactions."duration_seconds", -4294967296) > COALESCE("cc_analytics"."fact_interactions"."duration_seconds", -4294967296) OR (COALESCE(stg_fact_interactions."duration_seconds", -4294967296) = COALESCE("cc_analytics"."fact_interactions"."duration_seconds", -4294967296) AND (COALESCE(stg_fact_interactions."queue_name", '') > COALESCE("cc_analytics"."fact_interactions"."queue_name", '') OR (COALESCE(stg_fact_interactions."queue_name", '') = COALESCE("cc_analytics"."fact_interactions"."queue_name", '') AND (COALESCE(stg_fact_interactions."agent_id", '') > COALESCE("cc_analytics"."fact_interactions"."agent_id", ''))))))))))))))))));
MERGE INTO "cc_analytics"."fact_interactions" USING stg_fact_interactions ON stg_fact_interactions."event_id" = "cc_analytics"."fact_interactions"."event_id"
WHEN MATCHED THEN UPDATE SET "interaction_id" = stg_fact_interactions."interaction_id", "event_timestamp" = stg_fact_interactions."event_timestamp", "interaction_type" = stg_fact_interactions."interaction_type", "direction" = stg_fact_interactions."direction", "state" = stg_fact_interactions."state", "duration_seconds" = stg_fact_interactions."duration_seconds", "queue_name" = stg_fact_interactions."queue_name", "agent_id" = stg_fact_interactions."agent_id", "source_system" = stg_fact_interactions."source_system", "event_counter" = stg_fact_interactions."event_counter"
WHEN NOT MATCHED THEN INSERT ("event_id", "interaction_id", "event_timestamp", "interaction_type", "direction", "state", "duration_seconds", "queue_name", "agent_id", "source_system", "event_counter") VALUES (stg_fact_interactions."event_id", stg_fact_interactions."interaction_id", stg_fact_interactions."event_timestamp", stg_fact_interactions."interaction_type", stg_fact_interactions."direction", stg_fact_interactions."state", stg_fact_interactions."duration_seconds", stg_fact_interactions."queue_name", stg_fact_interactions."agent_id", stg_fact_interactions."source_system", stg_fact_interactions."event_counter");

DELETE FROM stg_call_recordings;

INSERT INTO stg_call_recordings SELECT event_id, interaction_id, recording_url, CAST(event_timestamp AS timestamp), CAST(event_counter AS bigint) FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp  DESC NULLS LAST, CAST(event_counter AS bigint) DESC NULLS LAST, interaction_id  DESC NULLS LAST, recording_url  DESC NULLS LAST) AS place FROM stg_interactions WHERE recording_url IS NOT NULL) AS ranked WHERE place = 1 ORDER BY 1;

DELETE FROM stg_call_recordings USING "cc_analytics"."call_recordings" WHERE stg_call_recordings."event_id" = "cc_analytics"."call_recordings"."event_id"
AND NOT (COALESCE(stg_call_recordings."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) > COALESCE("cc_analytics"."call_recordings"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) OR (COALESCE(stg_call_recordings."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) = COALESCE("cc_analytics"."call_recordings"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) AND (COALESCE(stg_call_recordings."event_counter", -4294967296) > COALESCE("cc_analytics"."call_recordings"."event_counter", -4294967296) OR (COALESCE(stg_call_recordings."event_counter", -4294967296) = COALESCE("cc_analytics"."call_recordings"."event_counter", -4294967296) AND (COALESCE(stg_call_recordings."interaction_id", '') > COALESCE("cc_analytics"."call_recordings"."interaction_id", '') OR (COALESCE(stg_call_recordings."interaction_id", '') = COALESCE("cc_analytics"."call_recordings"."interaction_id", '') AND (COALESCE(stg_call_recordings."recording_url", '') > COALESCE("cc_analytics"."call_recordings"."recording_url", ''))))))));
MERGE INTO "cc_analytics"."call_recordings" USING stg_call_recordings ON stg_call_recordings."event_id" = "cc_analytics"."call_recordings"."event_id"
WHEN MATCHED THEN UPDATE SET "interaction_id" = stg_call_recordings."interaction_id", "recording_url" = stg_call_recordings."recording_url", "event_timestamp" = stg_call_recordings."event_timestamp", "event_counter" = stg_call_recordings."event_counter"
WHEN NOT MATCHED THEN INSERT ("event_id", "interaction_id", "recording_url", "event_timestamp", "event_counter") VALUES (stg_call_recordings."event_id", stg_call_recordings."interaction_id", stg_call_recordings."recording_url", stg_call_recordings."event_timestamp", stg_call_recordings."event_counter");

DELETE FROM stg_dim_agents;

INSERT INTO stg_dim_agents SELECT DISTINCT agent_id, 'source_system' FROM stg_interactions WHERE agent_id IS NOT NULL ORDER BY 1;

DELETE FROM stg_dim_agents USING "cc_analytics"."dim_agents" WHERE stg_dim_agents."agent_id" = "cc_analytics"."dim_agents"."agent_id";
INSERT INTO "cc_analytics"."dim_agents" ("agent_id", "source_system") SELECT "agent_id", "source_system" FROM stg_dim_agents;

DELETE FROM stg_dim_queues;

INSERT INTO stg_dim_queues SELECT DISTINCT queue_name, 'source_system' FROM stg_interactions WHERE queue_name IS NOT NULL ORDER BY 1;

DELETE FROM stg_dim_queues USING "cc_analytics"."dim_queues" WHERE stg_dim_queues."queue_name" = "cc_analytics"."dim_queues"."queue_name";
INSERT INTO "cc_analytics"."dim_queues" ("queue_name", "source_system") SELECT "queue_name", "source_system" FROM stg_dim_queues;

DELETE FROM stg_dim_time;

INSERT INTO stg_dim_time SELECT start, CAST(start AS date), CAST(extract(year FROM start) AS integer), CAST(extract(quarter FROM start) AS integer), CAST(extract(month FROM start) AS integer), CAST(extract(day FROM start) AS integer), CAST(extract(hour FROM start) AS integer), (CAST(extract(dow FROM start) AS integer) + 6) % 7 + 1 FROM (SELECT DISTINCT date_trunc('hour', CAST(event_timestamp AS timestamp)) AS start FROM stg_interactions) AS hours ORDER BY 1;

DELETE FROM stg_dim_time USING "cc_analytics"."dim_time" WHERE stg_dim_time."hour_start" = "cc_analytics"."dim_time"."hour_start";
INSERT INTO "cc_analytics"."dim_time" ("hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week") SELECT "hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week" FROM stg_dim_time;

COMMIT;
