CREATE TEMP TABLE IF NOT EXISTS stg_interactions (line bigint, event_id text, interaction_id text, event_timestamp text, interaction_type text, direction text, state text, duration_seconds text, queue_name text, agent_id text, recording_url text, event_counter text) ON COMMIT DELETE ROWS;

BEGIN; SET LOCAL statement_timeout = ${statement_timeout}; SET LOCAL timezone = 'UTC';

INSERT INTO stg_interactions SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]);

SELECT line, problem FROM (SELECT line, CASE WHEN event_id IS NULL THEN 0 WHEN char_length(event_id) > 255 THEN 1 WHEN interaction_id IS NULL THEN 2 WHEN char_length(interaction_id) > 255 THEN 3 WHEN event_timestamp IS NULL OR event_timestamp !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$' OR substring(event_timestamp, 1, 4) = '0000' THEN 4 WHEN substring(event_timestamp, 6, 5) IN ('02-30', '02-31', '04-31', '06-31', '09-31', '11-31') THEN 5 WHEN substring(event_timestamp, 6, 5) = '02-29' AND NOT (CAST(substring(event_timestamp, 1, 4) AS integer) % 4 = 0 AND (CAST(substring(event_timestamp, 1, 4) AS integer) % 100 <> 0 OR CAST(substring(event_timestamp, 1, 4) AS integer) % 400 = 0)) THEN 6 WHEN char_length(interaction_type) > 50 THEN 7 WHEN char_length(direction) > 50 THEN 8 WHEN char_length(state) > 50 THEN 9 WHEN duration_seconds !~ '^-?[0-9]{1,10}$' THEN 10 WHEN CAST(duration_seconds AS bigint) NOT BETWEEN -2147483648 AND 2147483647 THEN 11 WHEN char_length(queue_name) > 255 THEN 12 WHEN char_length(agent_id) > 255 THEN 13 WHEN char_length(recording_url) > 2048 THEN 14 END AS problem FROM stg_interactions) AS checked WHERE problem IS NOT NULL;

DELETE FROM stg_interactions WHERE line IN ($1);

INSERT INTO "cc_analytics"."fact_interactions" AS held ("event_id", "interaction_id", "event_timestamp", "interaction_type", "direction", "state", "duration_seconds", "queue_name", "agent_id", "source_system", "event_counter")
SELECT event_id, interaction_id, CAST(event_timestamp AS timestamp), interaction_type, direction, state, CAST(duration_seconds AS integer), queue_name, agent_id, 'source_system', CAST(event_counter AS bigint) FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp COLLATE "C" DESC NULLS LAST, CAST(event_counter AS bigint) DESC NULLS LAST, interaction_id COLLATE "C" DESC NULLS LAST, interaction_type COLLATE "C" DESC NULLS LAST, direction COLLATE "C" DESC NULLS LAST, state COLLATE "C" DESC NULLS LAST, CAST(duration_seconds AS integer) DESC NULLS LAST, queue_name COLLATE "C" DESC NULLS LAST, agent_id COLLATE "C" DESC NULLS LAST) AS place FROM stg_interactions WHERE 1 = 1) AS ranked WHERE place = 1 ORDER BY 1
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "event_timestamp" = excluded."event_timestamp", "interaction_type" = excluded."interaction_type", "direction" = excluded."direction", "state" = excluded."state", "duration_seconds" = excluded."duration_seconds", "queue_name" = excluded."queue_name", "agent_id" = excluded."agent_id", "source_system" = excluded."source_system", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", '-infinity'), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", '') COLLATE "C", coalesce(excluded."interaction_type", '') COLLATE "C", coalesce(excluded."direction", '') COLLATE "C", coalesce(excluded."state", '') COLLATE "C", coalesce(excluded."duration_seconds", -4294967296), coalesce(excluded."queue_name", '') COLLATE "C", coalesce(excluded."agent_id", '') COLLATE "C") > (coalesce(held."event_timestamp", '-infinity'), coalesce(held."event_counter", -4294967296), coalesce(held."interaction_id", '') COLLATE "C", coalesce(held."interaction_type", '') COLLATE "C", coalesce(held."direction", '') COLLATE "C", coalesce(held."state", '') COLLATE "C", coalesce(held."duration_seconds", -4294967296), coalesce(held."queue_name", '') COLLATE "C", coalesce(held."agent_id", '') COLLATE "C");

INSERT INTO "cc_analytics"."call_recordings" AS held ("event_id", "interaction_id", "recording_url", "event_timestamp", "event_counter")
SELECT event_id, interaction_id, recording_url, CAST(event_timestamp AS timestamp), CAST(event_counter AS bigint) FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp COLLATE "C" DESC NULLS LAST, CAST(event_counter AS bigint) DESC NULLS LAST, interaction_id COLLATE "C" DESC NULLS LAST, recording_url COLLATE "C" DESC NULLS LAST) AS place FROM stg_interactions WHERE recording_url IS NOT NULL) AS ranked WHERE place = 1 ORDER BY 1
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "recording_url" = excluded."recording_url", "event_timestamp" = excluded."event_timestamp", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", '-infinity'), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", '') COLLATE "C", coalesce(excluded."recording_url", '') COLLATE "C") > (coalesce(held."event_timestamp", '-infinity'), coalesce(held."event_counter", -4294967296), coalesce(held."interaction_id", '') COLLATE "C", coalesce(held."recording_url", '') COLLATE "C");

INSERT INTO "cc_analytics"."dim_agents" AS held ("agent_id", "source_system")
SELECT DISTINCT agent_id, 'source_system' FROM stg_interactions WHERE agent_id IS NOT NULL ORDER BY 1
ON CONFLICT ("agent_id") DO NOTHING;

INSERT INTO "cc_analytics"."dim_queues" AS held ("queue_name", "source_system")
SELECT DISTINCT queue_name, 'source_system' FROM stg_interactions WHERE queue_name IS NOT NULL ORDER BY 1
ON CONFLICT ("queue_name") DO NOTHING;

INSERT INTO "cc_analytics"."dim_time" AS held ("hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week")
SELECT start, CAST(start AS date), CAST(extract(year FROM start) AS integer), CAST(extract(quarter FROM start) AS integer), CAST(extract(month FROM start) AS integer), CAST(extract(day FROM start) AS integer), CAST(extract(hour FROM start) AS integer), (CAST(extract(dow FROM start) AS integer) + 6) % 7 + 1 FROM (SELECT DISTINCT date_trunc('hour', CAST(event_timestamp AS timestamp)) AS start FROM stg_interactions) AS hours ORDER BY 1
ON CONFLICT ("hour_start") DO NOTHING;

COMMIT;
