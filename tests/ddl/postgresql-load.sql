BEGIN; SET LOCAL statement_timeout = ${statement_timeout}; SET LOCAL timezone = 'UTC';

INSERT INTO "cc_analytics"."fact_interactions" AS held ("event_id", "interaction_id", "event_timestamp", "interaction_type", "direction", "state", "duration_seconds", "queue_name", "agent_id", "source_system", "event_counter")
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamp[], $4::text[], $5::text[], $6::text[], $7::int4[], $8::text[], $9::text[], $10::text[], $11::int8[])
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "event_timestamp" = excluded."event_timestamp", "interaction_type" = excluded."interaction_type", "direction" = excluded."direction", "state" = excluded."state", "duration_seconds" = excluded."duration_seconds", "queue_name" = excluded."queue_name", "agent_id" = excluded."agent_id", "source_system" = excluded."source_system", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", '-infinity'), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", '') COLLATE "C", coalesce(excluded."interaction_type", '') COLLATE "C", coalesce(excluded."direction", '') COLLATE "C", coalesce(excluded."state", '') COLLATE "C", coalesce(excluded."duration_seconds", -4294967296), coalesce(excluded."queue_name", '') COLLATE "C", coalesce(excluded."agent_id", '') COLLATE "C") > (coalesce(held."event_timestamp", '-infinity'), coalesce(held."event_counter", -4294967296), coalesce(held."interaction_id", '') COLLATE "C", coalesce(held."interaction_type", '') COLLATE "C", coalesce(held."direction", '') COLLATE "C", coalesce(held."state", '') COLLATE "C", coalesce(held."duration_seconds", -4294967296), coalesce(held."queue_name", '') COLLATE "C", coalesce(held."agent_id", '') COLLATE "C");

INSERT INTO "cc_analytics"."call_recordings" AS held ("event_id", "interaction_id", "recording_url", "event_timestamp", "event_counter")
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamp[], $5::int8[])
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "recording_url" = excluded."recording_url", "event_timestamp" = excluded."event_timestamp", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", '-infinity'), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", '') COLLATE "C", coalesce(excluded."recording_url", '') COLLATE "C") > (coalesce(held."event_timestamp", '-infinity'), coalesce(held."event_counter", -4294967296), coalesce(held."interaction_id", '') COLLATE "C", coalesce(held."recording_url", '') COLLATE "C");

INSERT INTO "cc_analytics"."dim_agents" AS held ("agent_id", "source_system")
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT ("agent_id") DO NOTHING;

INSERT INTO "cc_analytics"."dim_queues" AS held ("queue_name", "source_system")
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT ("queue_name") DO NOTHING;

INSERT INTO "cc_analytics"."dim_time" AS held ("hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week")
SELECT * FROM unnest($1::timestamp[], $2::date[], $3::int4[], $4::int4[], $5::int4[], $6::int4[], $7::int4[], $8::int4[])
ON CONFLICT ("hour_start") DO NOTHING;

INSERT INTO "cc_analytics"."load_freshness" AS held ("slot", "minute", "writer", "rows_loaded", "lag_max_ms", "lag_sum_ms", "newest_event")
SELECT * FROM unnest($1::text[], $2::timestamp[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::timestamp[])
ON CONFLICT ("slot") DO UPDATE SET "minute" = excluded."minute", "writer" = excluded."writer", "rows_loaded" = excluded."rows_loaded", "lag_max_ms" = excluded."lag_max_ms", "lag_sum_ms" = excluded."lag_sum_ms", "newest_event" = excluded."newest_event"
WHERE (coalesce(excluded."rows_loaded", -4294967296)) > (coalesce(held."rows_loaded", -4294967296));

INSERT INTO "cc_analytics"."load_completeness" AS held ("completeness_id", "run_id", "hour_start", "records_read", "records_loaded", "records_elsewhere", "records_dropped", "records_refused", "records_unexplained", "rows_written", "rows_unchanged", "written_at")
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamp[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::timestamp[])
ON CONFLICT ("completeness_id") DO UPDATE SET "run_id" = excluded."run_id", "hour_start" = excluded."hour_start", "records_read" = excluded."records_read", "records_loaded" = excluded."records_loaded", "records_elsewhere" = excluded."records_elsewhere", "records_dropped" = excluded."records_dropped", "records_refused" = excluded."records_refused", "records_unexplained" = excluded."records_unexplained", "rows_written" = excluded."rows_written", "rows_unchanged" = excluded."rows_unchanged", "written_at" = excluded."written_at"
WHERE (coalesce(excluded."written_at", '-infinity')) > (coalesce(held."written_at", '-infinity'));

COMMIT;
