-- Times are in UTC.
CREATE SCHEMA IF NOT EXISTS "cc_analytics";

CREATE TABLE IF NOT EXISTS "cc_analytics"."fact_interactions" (
    "event_id" VARCHAR(255) PRIMARY KEY,
    "interaction_id" VARCHAR(255) NOT NULL,
    "event_timestamp" TIMESTAMP,
    "interaction_type" VARCHAR(50),
    "direction" VARCHAR(50),
    "state" VARCHAR(50),
    "duration_seconds" INTEGER,
    "queue_name" VARCHAR(255),
    "agent_id" VARCHAR(255),
    "source_system" VARCHAR(255) DEFAULT 'GENESYS_CLOUD',
    "event_counter" BIGINT NOT NULL DEFAULT 0,
    "created_at" TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX IF NOT EXISTS "ix_fact_interactions_event_timestamp" ON "cc_analytics"."fact_interactions" ("event_timestamp" DESC);
CREATE INDEX IF NOT EXISTS "ix_fact_interactions_queue_type" ON "cc_analytics"."fact_interactions" ("queue_name", "interaction_type");

CREATE TABLE IF NOT EXISTS "cc_analytics"."dim_agents" (
    "agent_id" VARCHAR(255) PRIMARY KEY,
    "source_system" VARCHAR(255) DEFAULT 'GENESYS_CLOUD',
    "created_at" TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE TABLE IF NOT EXISTS "cc_analytics"."dim_queues" (
    "queue_name" VARCHAR(255) PRIMARY KEY,
    "source_system" VARCHAR(255) DEFAULT 'GENESYS_CLOUD',
    "created_at" TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE TABLE IF NOT EXISTS "cc_analytics"."dim_time" (
    "hour_start" TIMESTAMP PRIMARY KEY,
    "date" DATE NOT NULL,
    "year" INTEGER NOT NULL,
    "quarter" INTEGER NOT NULL,
    "month" INTEGER NOT NULL,
    "day" INTEGER NOT NULL,
    "hour" INTEGER NOT NULL,
    "day_of_week" INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS "cc_analytics"."call_recordings" (
    "event_id" VARCHAR(255) PRIMARY KEY,
    "interaction_id" VARCHAR(255) NOT NULL,
    "recording_url" VARCHAR(2048) NOT NULL,
    "event_timestamp" TIMESTAMP,
    "event_counter" BIGINT NOT NULL DEFAULT 0,
    "created_at" TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX IF NOT EXISTS "ix_call_recordings_interaction" ON "cc_analytics"."call_recordings" ("interaction_id");

CREATE TABLE IF NOT EXISTS "cc_analytics"."load_completeness" (
    "completeness_id" VARCHAR(255) PRIMARY KEY,
    "run_id" VARCHAR(255) NOT NULL,
    "hour_start" TIMESTAMP,
    "records_read" BIGINT NOT NULL DEFAULT 0,
    "records_loaded" BIGINT NOT NULL DEFAULT 0,
    "records_elsewhere" BIGINT NOT NULL DEFAULT 0,
    "records_dropped" BIGINT NOT NULL DEFAULT 0,
    "records_refused" BIGINT NOT NULL DEFAULT 0,
    "records_unexplained" BIGINT NOT NULL DEFAULT 0,
    "rows_written" BIGINT NOT NULL DEFAULT 0,
    "rows_unchanged" BIGINT NOT NULL DEFAULT 0,
    "written_at" TIMESTAMP NOT NULL,
    "created_at" TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE TABLE IF NOT EXISTS "cc_analytics"."load_freshness" (
    "slot" VARCHAR(255) PRIMARY KEY,
    "minute" TIMESTAMP NOT NULL,
    "writer" VARCHAR(255) NOT NULL,
    "rows_loaded" BIGINT NOT NULL DEFAULT 0,
    "lag_max_ms" BIGINT NOT NULL DEFAULT 0,
    "lag_sum_ms" BIGINT NOT NULL DEFAULT 0,
    "newest_event" TIMESTAMP
);

CREATE OR REPLACE VIEW "cc_analytics"."freshness_by_hour" AS
SELECT date_trunc('hour', minute) AS hour_start, sum(rows_loaded) AS rows_loaded,
    max(lag_max_ms) / 1000.0 AS lag_max_seconds,
    sum(lag_sum_ms) / 1000.0 / sum(rows_loaded) AS lag_mean_seconds,
    max(newest_event) AS newest_event
FROM "cc_analytics"."load_freshness"
WHERE rows_loaded > 0
GROUP BY date_trunc('hour', minute);

CREATE OR REPLACE VIEW "cc_analytics"."completeness_by_hour" AS
SELECT c."run_id", c."hour_start", c."records_read", c."records_loaded", c."records_elsewhere", c."records_dropped", c."records_refused", c."records_unexplained", c."rows_written", c."rows_unchanged", c."written_at", f."fact_rows"
FROM "cc_analytics"."load_completeness" c
LEFT JOIN (
    SELECT date_trunc('hour', "event_timestamp") AS "hour_start", COUNT(*) AS "fact_rows"
    FROM "cc_analytics"."fact_interactions"
    GROUP BY date_trunc('hour', "event_timestamp")
) f ON f."hour_start" = c."hour_start";

DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'reporting') THEN
        EXECUTE 'CREATE ROLE "reporting" NOLOGIN';
    END IF;
END $do$;
GRANT USAGE ON SCHEMA "cc_analytics" TO "reporting";
GRANT SELECT ON ALL TABLES IN SCHEMA "cc_analytics" TO "reporting";
ALTER DEFAULT PRIVILEGES IN SCHEMA "cc_analytics" GRANT SELECT ON TABLES TO "reporting";
