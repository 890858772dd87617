CREATE TEMP TABLE IF NOT EXISTS stg_fact_interactions ("event_id" VARCHAR(1020), "interaction_id" VARCHAR(1020), "event_timestamp" TIMESTAMP, "interaction_type" VARCHAR(200), "direction" VARCHAR(200), "state" VARCHAR(200), "duration_seconds" INTEGER, "queue_name" VARCHAR(1020), "agent_id" VARCHAR(1020), "source_system" VARCHAR(1020), "event_counter" BIGINT);

CREATE TEMP TABLE IF NOT EXISTS stg_call_recordings ("event_id" VARCHAR(1020), "interaction_id" VARCHAR(1020), "recording_url" VARCHAR(8192), "event_timestamp" TIMESTAMP, "event_counter" BIGINT);

CREATE TEMP TABLE IF NOT EXISTS stg_dim_agents ("agent_id" VARCHAR(1020), "source_system" VARCHAR(1020));

CREATE TEMP TABLE IF NOT EXISTS stg_dim_queues ("queue_name" VARCHAR(1020), "source_system" VARCHAR(1020));

CREATE TEMP TABLE IF NOT EXISTS stg_dim_time ("hour_start" TIMESTAMP, "date" DATE, "year" INTEGER, "quarter" INTEGER, "month" INTEGER, "day" INTEGER, "hour" INTEGER, "day_of_week" INTEGER);

CREATE TEMP TABLE IF NOT EXISTS stg_load_freshness ("slot" VARCHAR(1020), "minute" TIMESTAMP, "writer" VARCHAR(1020), "rows_loaded" BIGINT, "lag_max_ms" BIGINT, "lag_sum_ms" BIGINT, "newest_event" TIMESTAMP);

CREATE TEMP TABLE IF NOT EXISTS stg_load_completeness ("completeness_id" VARCHAR(1020), "run_id" VARCHAR(1020), "hour_start" TIMESTAMP, "records_read" BIGINT, "records_loaded" BIGINT, "records_elsewhere" BIGINT, "records_dropped" BIGINT, "records_refused" BIGINT, "records_unexplained" BIGINT, "rows_written" BIGINT, "rows_unchanged" BIGINT, "written_at" TIMESTAMP);

BEGIN;

LOCK "cc_analytics"."fact_interactions", "cc_analytics"."call_recordings", "cc_analytics"."dim_agents", "cc_analytics"."dim_queues", "cc_analytics"."dim_time", "cc_analytics"."load_freshness", "cc_analytics"."load_completeness";

DELETE FROM stg_fact_interactions;

INSERT INTO stg_fact_interactions VALUES ($1, $2, CAST($3 AS TIMESTAMP), $4, $5, $6, CAST($7 AS INTEGER), $8, $9, $10, CAST($11 AS BIGINT));

DELETE FROM stg_fact_interactions USING "cc_analytics"."fact_interactions" WHERE stg_fact_interactions."event_id" = "cc_analytics"."fact_interactions"."event_id"
AND NOT (COALESCE(stg_fact_interactions."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) > COALESCE("cc_analytics"."fact_interactions"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) OR (COALESCE(stg_fact_interactions."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) = COALESCE("cc_analytics"."fact_interactions"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) AND (COALESCE(stg_fact_interactions."event_counter", -4294967296) > COALESCE("cc_analytics"."fact_interactions"."event_counter", -4294967296) OR (COALESCE(stg_fact_interactions."event_counter", -4294967296) = COALESCE("cc_analytics"."fact_interactions"."event_counter", -4294967296) AND (COALESCE(stg_fact_interactions."interaction_id", '') > COALESCE("cc_analytics"."fact_interactions"."interaction_id", '') OR (COALESCE(stg_fact_interactions."interaction_id", '') = COALESCE("cc_analytics"."fact_interactions"."interaction_id", '') AND (COALESCE(stg_fact_interactions."interaction_type", '') > COALESCE("cc_analytics"."fact_interactions"."interaction_type", '') OR (COALESCE(stg_fact_interactions."interaction_type", '') = COALESCE("cc_analytics"."fact_interactions"."interaction_type", '') AND (COALESCE(stg_fact_interactions."direction", '') > COALESCE("cc_analytics"."fact_interactions"."direction", '') OR (COALESCE(stg_fact_interactions."direction", '') = COALESCE("cc_analytics"."fact_interactions"."direction", '') AND (COALESCE(stg_fact_interactions."state", '') > COALESCE("cc_analytics"."fact_interactions"."state", '') OR (COALESCE(stg_fact_interactions."state", '') = COALESCE("cc_analytics"."fact_interactions"."state", '') AND (COALESCE(stg_fact_interactions."duration_seconds", -4294967296) > COALESCE("cc_analytics"."fact_interactions"."duration_seconds", -4294967296) OR (COALESCE(stg_fact_interactions."duration_seconds", -4294967296) = COALESCE("cc_analytics"."fact_interactions"."duration_seconds", -4294967296) AND (COALESCE(stg_fact_interactions."queue_name", '') > COALESCE("cc_analytics"."fact_interactions"."queue_name", '') OR (COALESCE(stg_fact_interactions."queue_name", '') = COALESCE("cc_analytics"."fact_interactions"."queue_name", '') AND (COALESCE(stg_fact_interactions."agent_id", '') > COALESCE("cc_analytics"."fact_interactions"."agent_id", ''))))))))))))))))));
MERGE INTO "cc_analytics"."fact_interactions" USING stg_fact_interactions ON stg_fact_interactions."event_id" = "cc_analytics"."fact_interactions"."event_id"
WHEN MATCHED THEN UPDATE SET "interaction_id" = stg_fact_interactions."interaction_id", "event_timestamp" = stg_fact_interactions."event_timestamp", "interaction_type" = stg_fact_interactions."interaction_type", "direction" = stg_fact_interactions."direction", "state" = stg_fact_interactions."state", "duration_seconds" = stg_fact_interactions."duration_seconds", "queue_name" = stg_fact_interactions."queue_name", "agent_id" = stg_fact_interactions."agent_id", "source_system" = stg_fact_interactions."source_system", "event_counter" = stg_fact_interactions."event_counter"
WHEN NOT MATCHED THEN INSERT ("event_id", "interaction_id", "event_timestamp", "interaction_type", "direction", "state", "duration_seconds", "queue_name", "agent_id", "source_system", "event_counter") VALUES (stg_fact_interactions."event_id", stg_fact_interactions."interaction_id", stg_fact_interactions."event_timestamp", stg_fact_interactions."interaction_type", stg_fact_interactions."direction", stg_fact_interactions."state", stg_fact_interactions."duration_seconds", stg_fact_interactions."queue_name", stg_fact_interactions."agent_id", stg_fact_interactions."source_system", stg_fact_interactions."event_counter");

DELETE FROM stg_call_recordings;

INSERT INTO stg_call_recordings VALUES ($1, $2, $3, CAST($4 AS TIMESTAMP), CAST($5 AS BIGINT));

DELETE FROM stg_call_recordings USING "cc_analytics"."call_recordings" WHERE stg_call_recordings."event_id" = "cc_analytics"."call_recordings"."event_id"
AND NOT (COALESCE(stg_call_recordings."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) > COALESCE("cc_analytics"."call_recordings"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) OR (COALESCE(stg_call_recordings."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) = COALESCE("cc_analytics"."call_recordings"."event_timestamp", CAST('0001-01-01' AS TIMESTAMP)) AND (COALESCE(stg_call_recordings."event_counter", -4294967296) > COALESCE("cc_analytics"."call_recordings"."event_counter", -4294967296) OR (COALESCE(stg_call_recordings."event_counter", -4294967296) = COALESCE("cc_analytics"."call_recordings"."event_counter", -4294967296) AND (COALESCE(stg_call_recordings."interaction_id", '') > COALESCE("cc_analytics"."call_recordings"."interaction_id", '') OR (COALESCE(stg_call_recordings."interaction_id", '') = COALESCE("cc_analytics"."call_recordings"."interaction_id", '') AND (COALESCE(stg_call_recordings."recording_url", '') > COALESCE("cc_analytics"."call_recordings"."recording_url", ''))))))));
MERGE INTO "cc_analytics"."call_recordings" USING stg_call_recordings ON stg_call_recordings."event_id" = "cc_analytics"."call_recordings"."event_id"
WHEN MATCHED THEN UPDATE SET "interaction_id" = stg_call_recordings."interaction_id", "recording_url" = stg_call_recordings."recording_url", "event_timestamp" = stg_call_recordings."event_timestamp", "event_counter" = stg_call_recordings."event_counter"
WHEN NOT MATCHED THEN INSERT ("event_id", "interaction_id", "recording_url", "event_timestamp", "event_counter") VALUES (stg_call_recordings."event_id", stg_call_recordings."interaction_id", stg_call_recordings."recording_url", stg_call_recordings."event_timestamp", stg_call_recordings."event_counter");

DELETE FROM stg_dim_agents;

INSERT INTO stg_dim_agents VALUES ($1, $2);

DELETE FROM stg_dim_agents USING "cc_analytics"."dim_agents" WHERE stg_dim_agents."agent_id" = "cc_analytics"."dim_agents"."agent_id";
INSERT INTO "cc_analytics"."dim_agents" ("agent_id", "source_system") SELECT "agent_id", "source_system" FROM stg_dim_agents;

DELETE FROM stg_dim_queues;

INSERT INTO stg_dim_queues VALUES ($1, $2);

DELETE FROM stg_dim_queues USING "cc_analytics"."dim_queues" WHERE stg_dim_queues."queue_name" = "cc_analytics"."dim_queues"."queue_name";
INSERT INTO "cc_analytics"."dim_queues" ("queue_name", "source_system") SELECT "queue_name", "source_system" FROM stg_dim_queues;

DELETE FROM stg_dim_time;

INSERT INTO stg_dim_time VALUES (CAST($1 AS TIMESTAMP), CAST($2 AS DATE), CAST($3 AS INTEGER), CAST($4 AS INTEGER), CAST($5 AS INTEGER), CAST($6 AS INTEGER), CAST($7 AS INTEGER), CAST($8 AS INTEGER));

DELETE FROM stg_dim_time USING "cc_analytics"."dim_time" WHERE stg_dim_time."hour_start" = "cc_analytics"."dim_time"."hour_start";
INSERT INTO "cc_analytics"."dim_time" ("hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week") SELECT "hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week" FROM stg_dim_time;

DELETE FROM stg_load_freshness;

INSERT INTO stg_load_freshness VALUES ($1, CAST($2 AS TIMESTAMP), $3, CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS TIMESTAMP));

DELETE FROM stg_load_freshness USING "cc_analytics"."load_freshness" WHERE stg_load_freshness."slot" = "cc_analytics"."load_freshness"."slot"
AND NOT (COALESCE(stg_load_freshness."rows_loaded", -4294967296) > COALESCE("cc_analytics"."load_freshness"."rows_loaded", -4294967296));
MERGE INTO "cc_analytics"."load_freshness" USING stg_load_freshness ON stg_load_freshness."slot" = "cc_analytics"."load_freshness"."slot"
WHEN MATCHED THEN UPDATE SET "minute" = stg_load_freshness."minute", "writer" = stg_load_freshness."writer", "rows_loaded" = stg_load_freshness."rows_loaded", "lag_max_ms" = stg_load_freshness."lag_max_ms", "lag_sum_ms" = stg_load_freshness."lag_sum_ms", "newest_event" = stg_load_freshness."newest_event"
WHEN NOT MATCHED THEN INSERT ("slot", "minute", "writer", "rows_loaded", "lag_max_ms", "lag_sum_ms", "newest_event") VALUES (stg_load_freshness."slot", stg_load_freshness."minute", stg_load_freshness."writer", stg_load_freshness."rows_loaded", stg_load_freshness."lag_max_ms", stg_load_freshness."lag_sum_ms", stg_load_freshness."newest_event");

DELETE FROM stg_load_completeness;

INSERT INTO stg_load_completeness VALUES ($1, $2, CAST($3 AS TIMESTAMP), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS BIGINT), CAST($9 AS BIGINT), CAST($10 AS BIGINT), CAST($11 AS BIGINT), CAST($12 AS TIMESTAMP));

DELETE FROM stg_load_completeness USING "cc_analytics"."load_completeness" WHERE stg_load_completeness."completeness_id" = "cc_analytics"."load_completeness"."completeness_id"
AND NOT (COALESCE(stg_load_completeness."written_at", CAST('0001-01-01' AS TIMESTAMP)) > COALESCE("cc_analytics"."load_completeness"."written_at", CAST('0001-01-01' AS TIMESTAMP)));
MERGE INTO "cc_analytics"."load_completeness" USING stg_load_completeness ON stg_load_completeness."completeness_id" = "cc_analytics"."load_completeness"."completeness_id"
WHEN MATCHED THEN UPDATE SET "run_id" = stg_load_completeness."run_id", "hour_start" = stg_load_completeness."hour_start", "records_read" = stg_load_completeness."records_read", "records_loaded" = stg_load_completeness."records_loaded", "records_elsewhere" = stg_load_completeness."records_elsewhere", "records_dropped" = stg_load_completeness."records_dropped", "records_refused" = stg_load_completeness."records_refused", "records_unexplained" = stg_load_completeness."records_unexplained", "rows_written" = stg_load_completeness."rows_written", "rows_unchanged" = stg_load_completeness."rows_unchanged", "written_at" = stg_load_completeness."written_at"
WHEN NOT MATCHED THEN INSERT ("completeness_id", "run_id", "hour_start", "records_read", "records_loaded", "records_elsewhere", "records_dropped", "records_refused", "records_unexplained", "rows_written", "rows_unchanged", "written_at") VALUES (stg_load_completeness."completeness_id", stg_load_completeness."run_id", stg_load_completeness."hour_start", stg_load_completeness."records_read", stg_load_completeness."records_loaded", stg_load_completeness."records_elsewhere", stg_load_completeness."records_dropped", stg_load_completeness."records_refused", stg_load_completeness."records_unexplained", stg_load_completeness."rows_written", stg_load_completeness."rows_unchanged", stg_load_completeness."written_at");

COMMIT;
