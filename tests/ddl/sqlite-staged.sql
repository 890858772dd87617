BEGIN IMMEDIATE;

CREATE TEMP TABLE stg_interactions (line INTEGER PRIMARY KEY, event_id TEXT, interaction_id TEXT, event_timestamp TEXT, interaction_type TEXT, direction TEXT, state TEXT, duration_seconds TEXT, queue_name TEXT, agent_id TEXT, recording_url TEXT, event_counter TEXT);

INSERT INTO temp.stg_interactions (line, event_id, interaction_id, event_timestamp, interaction_type, direction, state, duration_seconds, queue_name, agent_id, recording_url, event_counter) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12);

SELECT line, problem FROM (SELECT line, CASE WHEN event_id IS NULL THEN 0 WHEN length(event_id) > 255 THEN 1 WHEN interaction_id IS NULL THEN 2 WHEN length(interaction_id) > 255 THEN 3 WHEN event_timestamp IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', event_timestamp) OR event_timestamp IS NULL THEN 4 WHEN length(interaction_type) > 50 THEN 5 WHEN length(direction) > 50 THEN 6 WHEN length(state) > 50 THEN 7 WHEN duration_seconds IS NOT NULL AND (CAST(CAST(duration_seconds AS INTEGER) AS TEXT) IS NOT duration_seconds OR CAST(duration_seconds AS INTEGER) NOT BETWEEN -2147483648 AND 2147483647) THEN 8 WHEN length(queue_name) > 255 THEN 9 WHEN length(agent_id) > 255 THEN 10 WHEN length(recording_url) > 2048 THEN 11 END AS problem FROM temp.stg_interactions) WHERE problem IS NOT NULL;

DELETE FROM temp.stg_interactions WHERE line = ?1;

INSERT INTO "fact_interactions" ("event_id", "interaction_id", "event_timestamp", "interaction_type", "direction", "state", "duration_seconds", "queue_name", "agent_id", "source_system", "event_counter")
SELECT event_id, interaction_id, event_timestamp, interaction_type, direction, state, CAST(duration_seconds AS INTEGER), queue_name, agent_id, ?1, CAST(event_counter AS INTEGER) FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp DESC, CAST(event_counter AS INTEGER) DESC, interaction_id DESC, interaction_type DESC, direction DESC, state DESC, CAST(duration_seconds AS INTEGER) DESC, queue_name DESC, agent_id DESC) AS place FROM temp.stg_interactions WHERE true) WHERE place = 1
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "event_timestamp" = excluded."event_timestamp", "interaction_type" = excluded."interaction_type", "direction" = excluded."direction", "state" = excluded."state", "duration_seconds" = excluded."duration_seconds", "queue_name" = excluded."queue_name", "agent_id" = excluded."agent_id", "source_system" = excluded."source_system", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", ''), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", ''), coalesce(excluded."interaction_type", ''), coalesce(excluded."direction", ''), coalesce(excluded."state", ''), coalesce(excluded."duration_seconds", -4294967296), coalesce(excluded."queue_name", ''), coalesce(excluded."agent_id", '')) > (coalesce("fact_interactions"."event_timestamp", ''), coalesce("fact_interactions"."event_counter", -4294967296), coalesce("fact_interactions"."interaction_id", ''), coalesce("fact_interactions"."interaction_type", ''), coalesce("fact_interactions"."direction", ''), coalesce("fact_interactions"."state", ''), coalesce("fact_interactions"."duration_seconds", -4294967296), coalesce("fact_interactions"."queue_name", ''), coalesce("fact_interactions"."agent_id", ''));

INSERT INTO "call_recordings" ("event_id", "interaction_id", "recording_url", "event_timestamp", "event_counter")
SELECT event_id, interaction_id, recording_url, event_timestamp, CAST(event_counter AS INTEGER) FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp DESC, CAST(event_counter AS INTEGER) DESC, interaction_id DESC, recording_url DESC) AS place FROM temp.stg_interactions WHERE recording_url IS NOT NULL) WHERE place = 1
ON CONFLICT ("event_id") DO UPDATE SET "interaction_id" = excluded."interaction_id", "recording_url" = excluded."recording_url", "event_timestamp" = excluded."event_timestamp", "event_counter" = excluded."event_counter"
WHERE (coalesce(excluded."event_timestamp", ''), coalesce(excluded."event_counter", -4294967296), coalesce(excluded."interaction_id", ''), coalesce(excluded."recording_url", '')) > (coalesce("call_recordings"."event_timestamp", ''), coalesce("call_recordings"."event_counter", -4294967296), coalesce("call_recordings"."interaction_id", ''), coalesce("call_recordings"."recording_url", ''));

INSERT INTO "dim_agents" ("agent_id", "source_system")
SELECT DISTINCT agent_id, ?1 FROM temp.stg_interactions WHERE agent_id IS NOT NULL
ON CONFLICT ("agent_id") DO NOTHING;

INSERT INTO "dim_queues" ("queue_name", "source_system")
SELECT DISTINCT queue_name, ?1 FROM temp.stg_interactions WHERE queue_name IS NOT NULL
ON CONFLICT ("queue_name") DO NOTHING;

INSERT INTO "dim_time" ("hour_start", "date", "year", "quarter", "month", "day", "hour", "day_of_week")
SELECT start, substr(start, 1, 10), CAST(substr(start, 1, 4) AS INTEGER), (CAST(substr(start, 6, 2) AS INTEGER) + 2) / 3, CAST(substr(start, 6, 2) AS INTEGER), CAST(substr(start, 9, 2) AS INTEGER), CAST(substr(start, 12, 2) AS INTEGER), (CAST(strftime('%w', start) AS INTEGER) + 6) % 7 + 1 FROM (SELECT DISTINCT substr(event_timestamp, 1, 13) || ':00:00.000Z' AS start FROM temp.stg_interactions) WHERE true
ON CONFLICT ("hour_start") DO NOTHING;

DELETE FROM temp.stg_interactions;

COMMIT;
