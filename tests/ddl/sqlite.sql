-- cc_analytics for SQLite: the database file is the schema, so the tables have no prefix.
-- Times are UTC text such as 2026-01-02T03:04:05.678Z, which sorts as time does.

CREATE TABLE IF NOT EXISTS "fact_interactions" (
    "event_id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "interaction_id" VARCHAR(255) NOT NULL,
    "event_timestamp" TIMESTAMP TEXT,
    "interaction_type" VARCHAR(50),
    "direction" VARCHAR(50),
    "state" VARCHAR(50),
    "duration_seconds" INTEGER,
    "queue_name" VARCHAR(255),
    "agent_id" VARCHAR(255),
    "source_system" VARCHAR(255) DEFAULT 'GENESYS_CLOUD',
    "event_counter" BIGINT NOT NULL DEFAULT 0,
    "created_at" TIMESTAMP TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX IF NOT EXISTS "ix_fact_interactions_event_timestamp" ON "fact_interactions" ("event_timestamp" DESC);
CREATE INDEX IF NOT EXISTS "ix_fact_interactions_queue_type" ON "fact_interactions" ("queue_name", "interaction_type");

CREATE TABLE IF NOT EXISTS "dim_agents" (
    "agent_id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "source_system" VARCHAR(255) DEFAULT 'GENESYS_CLOUD',
    "created_at" TIMESTAMP TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE IF NOT EXISTS "dim_queues" (
    "queue_name" VARCHAR(255) NOT NULL PRIMARY KEY,
    "source_system" VARCHAR(255) DEFAULT 'GENESYS_CLOUD',
    "created_at" TIMESTAMP TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE IF NOT EXISTS "dim_time" (
    "hour_start" TIMESTAMP TEXT NOT NULL PRIMARY KEY,
    "date" DATE TEXT NOT NULL,
    "year" INTEGER NOT NULL,
    "quarter" INTEGER NOT NULL,
    "month" INTEGER NOT NULL,
    "day" INTEGER NOT NULL,
    "hour" INTEGER NOT NULL,
    "day_of_week" INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS "call_recordings" (
    "event_id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "interaction_id" VARCHAR(255) NOT NULL,
    "recording_url" VARCHAR(2048) NOT NULL,
    "event_timestamp" TIMESTAMP TEXT,
    "event_counter" BIGINT NOT NULL DEFAULT 0,
    "created_at" TIMESTAMP TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX IF NOT EXISTS "ix_call_recordings_interaction" ON "call_recordings" ("interaction_id");

CREATE TABLE IF NOT EXISTS "load_completeness" (
    "completeness_id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "run_id" VARCHAR(255) NOT NULL,
    "hour_start" TIMESTAMP TEXT,
    "records_read" BIGINT NOT NULL DEFAULT 0,
    "records_loaded" BIGINT NOT NULL DEFAULT 0,
    "records_elsewhere" BIGINT NOT NULL DEFAULT 0,
    "records_dropped" BIGINT NOT NULL DEFAULT 0,
    "records_refused" BIGINT NOT NULL DEFAULT 0,
    "records_unexplained" BIGINT NOT NULL DEFAULT 0,
    "rows_written" BIGINT NOT NULL DEFAULT 0,
    "rows_unchanged" BIGINT NOT NULL DEFAULT 0,
    "written_at" TIMESTAMP TEXT NOT NULL,
    "created_at" TIMESTAMP TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE IF NOT EXISTS "load_freshness" (
    "slot" VARCHAR(255) NOT NULL PRIMARY KEY,
    "minute" TIMESTAMP TEXT NOT NULL,
    "writer" VARCHAR(255) NOT NULL,
    "rows_loaded" BIGINT NOT NULL DEFAULT 0,
    "lag_max_ms" BIGINT NOT NULL DEFAULT 0,
    "lag_sum_ms" BIGINT NOT NULL DEFAULT 0,
    "newest_event" TIMESTAMP TEXT
);

CREATE VIEW IF NOT EXISTS "freshness_by_hour" AS
SELECT substr(minute, 1, 13) || ':00:00.000Z' AS hour_start, sum(rows_loaded) AS rows_loaded,
    max(lag_max_ms) / 1000.0 AS lag_max_seconds,
    sum(lag_sum_ms) / 1000.0 / sum(rows_loaded) AS lag_mean_seconds,
    max(newest_event) AS newest_event
FROM "load_freshness"
WHERE rows_loaded > 0
GROUP BY substr(minute, 1, 13) || ':00:00.000Z';

CREATE VIEW IF NOT EXISTS "completeness_by_hour" AS
SELECT c."run_id", c."hour_start", c."records_read", c."records_loaded", c."records_elsewhere", c."records_dropped", c."records_refused", c."records_unexplained", c."rows_written", c."rows_unchanged", c."written_at", f."fact_rows"
FROM "load_completeness" c
LEFT JOIN (
    SELECT substr("event_timestamp", 1, 13) || ':00:00.000Z' AS "hour_start", COUNT(*) AS "fact_rows"
    FROM "fact_interactions"
    GROUP BY substr("event_timestamp", 1, 13) || ':00:00.000Z'
) f ON f."hour_start" = c."hour_start";

-- SQLite has no roles, so reporting cannot be made: who may read the database file may read
-- all of it. Give the reporting tool read permission on the file and its folder and
-- no write permission, and let it open the database with mode=ro.
