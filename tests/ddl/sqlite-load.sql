BEGIN IMMEDIATE;

INSERT INTO "fact_interactions" ("event_id", "interaction_id", "event_timestamp", "interaction_type", "direction", "state", "duration_seconds", "queue_name", "agent_id", "source_system", "event_counter")
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "event_timestamp" = excluded."event_timestamp", "interaction_type" = excluded."interaction_type", "direction" = excluded."direction", "state" = excluded."state", "duration_seconds" = excluded."duration_seconds", "queue_name" = excluded."queue_name", "agent_id" = excluded."agent_id", "source_system" = excluded."source_system", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", ''), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", ''), coalesce(excluded."interaction_type", ''), coalesce(excluded."direction", ''), coalesce(excluded."state", ''), coalesce(excluded."duration_seconds", -4294967296), coalesce(excluded."queue_name", ''), coalesce(excluded."agent_id", '')) > (coalesce("fact_interactions"."event_timestamp", ''), coalesce("fact_interactions"."event_counter", -4294967296), coalesce("fact_interactions"."interaction_id", ''), coalesce("fact_interactions"."interaction_type", ''), coalesce("fact_interactions"."direction", ''), coalesce("fact_interactions"."state", ''), coalesce("fact_interactions"."duration_seconds", -4294967296), coalesce("fact_interactions"."queue_name", ''), coalesce("fact_interactions"."agent_id", ''));

INSERT INTO "call_recordings" ("event_id", "interaction_id", "recording_url", "event_timestamp", "event_counter")
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "recording_url" = excluded."recording_url", "event_timestamp" = excluded."event_timestamp", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", ''), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", ''), coalesce(excluded."recording_url", '')) > (coalesce("call_recordings"."event_timestamp", ''), coalesce("call_recordings"."event_counter", -4294967296), coalesce("call_recordings"."interaction_id", ''), coalesce("call_recordings"."recording_url", ''));

INSERT INTO "dim_agents" ("agent_id", "source_system")
VALUES (?1, ?2)
ON CONFLICT ("agent_id") DO NOTHING;

INSERT INTO "dim_queues" ("queue_name", "source_system")
VALUES (?1, ?2)
ON CONFLICT ("queue_name") DO NOTHING;

INSERT INTO "dim_time" ("hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week")
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT ("hour_start") DO NOTHING;

INSERT INTO "load_freshness" ("slot", "minute", "writer", "rows_loaded", "lag_max_ms", "lag_sum_ms", "newest_event")
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT ("slot") DO UPDATE SET "minute" = excluded."minute", "writer" = excluded."writer", "rows_loaded" = excluded."rows_loaded", "lag_max_ms" = excluded."lag_max_ms", "lag_sum_ms" = excluded."lag_sum_ms", "newest_event" = excluded."newest_event"
WHERE (coalesce(excluded."rows_loaded", -4294967296)) > (coalesce("load_freshness"."rows_loaded", -4294967296));

INSERT INTO "load_completeness" ("completeness_id", "run_id", "hour_start", "records_read", "records_loaded", "records_elsewhere", "records_dropped", "records_refused", "records_unexplained", "rows_written", "rows_unchanged", "written_at")
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT ("completeness_id") DO UPDATE SET "run_id" = excluded."run_id", "hour_start" = excluded."hour_start", "records_read" = excluded."records_read", "records_loaded" = excluded."records_loaded", "records_elsewhere" = excluded."records_elsewhere", "records_dropped" = excluded."records_dropped", "records_refused" = excluded."records_refused", "records_unexplained" = excluded."records_unexplained", "rows_written" = excluded."rows_written", "rows_unchanged" = excluded."rows_unchanged", "written_at" = excluded."written_at"
WHERE (coalesce(excluded."written_at", '')) > (coalesce("load_completeness"."written_at", ''));

COMMIT;
