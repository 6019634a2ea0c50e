--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: dbos; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA dbos;


--
-- Name: enqueue_workflow(text, text, json[], json, text, text, text, text, bigint, bigint, text, integer, text, text, text, bigint, text); Type: FUNCTION; Schema: dbos; Owner: -
--

CREATE FUNCTION dbos.enqueue_workflow(workflow_name text, queue_name text, positional_args json[] DEFAULT ARRAY[]::json[], named_args json DEFAULT '{}'::json, class_name text DEFAULT NULL::text, config_name text DEFAULT NULL::text, workflow_id text DEFAULT NULL::text, app_version text DEFAULT NULL::text, timeout_ms bigint DEFAULT NULL::bigint, deadline_epoch_ms bigint DEFAULT NULL::bigint, deduplication_id text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, queue_partition_key text DEFAULT NULL::text, authenticated_user text DEFAULT NULL::text, authenticated_roles text DEFAULT NULL::text, delay_until_epoch_ms bigint DEFAULT NULL::bigint, application_name text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_workflow_id TEXT;
    v_serialized_inputs TEXT;
    v_owner_xid TEXT;
    v_now BIGINT;
    v_recovery_attempts INT4 := 0;
    v_priority INT4;
    v_status TEXT;
BEGIN

    -- Validate required parameters
    IF workflow_name IS NULL OR workflow_name = '' THEN
        RAISE EXCEPTION 'Workflow name cannot be null or empty';
    END IF;
    IF queue_name IS NULL OR queue_name = '' THEN
        RAISE EXCEPTION 'Queue name cannot be null or empty';
    END IF;
    IF named_args IS NOT NULL AND jsonb_typeof(named_args::jsonb) != 'object' THEN
        RAISE EXCEPTION 'Named args must be a JSON object';
    END IF;
    IF workflow_id IS NOT NULL AND workflow_id = '' THEN
        RAISE EXCEPTION 'Workflow ID cannot be an empty string if provided.';
    END IF;
    IF delay_until_epoch_ms IS NOT NULL AND delay_until_epoch_ms < 0 THEN
        RAISE EXCEPTION 'delay_until_epoch_ms must be >= 0';
    END IF;

    v_workflow_id := COALESCE(workflow_id, gen_random_uuid()::TEXT);
    v_owner_xid := gen_random_uuid()::TEXT;
    v_priority := COALESCE(priority, 0);
    v_serialized_inputs := json_build_object(
        'positionalArgs', positional_args,
        'namedArgs', named_args
    )::TEXT;
    v_now := EXTRACT(epoch FROM now()) * 1000;
    v_status := CASE WHEN delay_until_epoch_ms IS NULL THEN 'ENQUEUED' ELSE 'DELAYED' END;

    INSERT INTO "dbos".workflow_status (
        workflow_uuid, status,
        name, class_name, config_name,
        queue_name, deduplication_id, priority, queue_partition_key,
        application_version,
        created_at, updated_at, recovery_attempts,
        workflow_timeout_ms, workflow_deadline_epoch_ms,
        parent_workflow_id, owner_xid, serialization,
        authenticated_user, authenticated_roles,
        delay_until_epoch_ms, application_name
    ) VALUES (
        v_workflow_id, v_status,
        workflow_name, class_name, config_name,
        queue_name, deduplication_id, v_priority, queue_partition_key,
        app_version,
        v_now, v_now, v_recovery_attempts,
        timeout_ms, deadline_epoch_ms,
        NULL, v_owner_xid, 'portable_json',
        authenticated_user, authenticated_roles,
        delay_until_epoch_ms, application_name
    )
    ON CONFLICT (workflow_uuid)
    DO UPDATE SET
        updated_at = EXCLUDED.updated_at;

    INSERT INTO "dbos".workflow_input (
        workflow_uuid, inputs, retention_timestamp
    ) VALUES (
        v_workflow_id, v_serialized_inputs, v_now
    )
    ON CONFLICT (workflow_uuid) DO NOTHING;

    RETURN v_workflow_id;

EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'DBOS queue duplicated'
            USING DETAIL = format('Workflow %s with queue %s and deduplication ID %s already exists', v_workflow_id, queue_name, deduplication_id),
                ERRCODE = 'unique_violation';
END;
$$;


--
-- Name: notifications_function(); Type: FUNCTION; Schema: dbos; Owner: -
--

CREATE FUNCTION dbos.notifications_function() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    payload text := NEW.destination_uuid || '::' || NEW.topic;
BEGIN
    PERFORM pg_notify('dbos_notifications_channel', payload);
    RETURN NEW;
END;
$$;


--
-- Name: send_message(text, json, text, text); Type: FUNCTION; Schema: dbos; Owner: -
--

CREATE FUNCTION dbos.send_message(destination_id text, message json, topic text DEFAULT NULL::text, message_id text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_topic TEXT := COALESCE(topic, '__null__topic__');
    v_message_id TEXT := COALESCE(message_id, gen_random_uuid()::TEXT);
BEGIN
    INSERT INTO "dbos".notifications (
        destination_uuid, topic, message, message_uuid, serialization
    ) VALUES (
        destination_id, v_topic, message, v_message_id, 'portable_json'
    )
    ON CONFLICT (message_uuid) DO NOTHING;
EXCEPTION
    WHEN foreign_key_violation THEN
        RAISE EXCEPTION 'DBOS non-existent workflow'
            USING DETAIL = format('Destination workflow %s does not exist', destination_id),
                ERRCODE = 'foreign_key_violation';
END;
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: application_versions; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.application_versions (
    version_id text NOT NULL,
    version_name text NOT NULL,
    version_timestamp bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    created_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    application_name text
);


--
-- Name: dbos_migrations; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.dbos_migrations (
    version bigint NOT NULL
);


--
-- Name: event_dispatch_kv; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.event_dispatch_kv (
    service_name text NOT NULL,
    workflow_fn_name text NOT NULL,
    key text NOT NULL,
    value text,
    update_seq numeric(38,0),
    update_time numeric(38,15)
);


--
-- Name: notifications; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.notifications (
    message_uuid text DEFAULT gen_random_uuid() NOT NULL,
    destination_uuid text NOT NULL,
    topic text,
    message text NOT NULL,
    created_at_epoch_ms bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    serialization text,
    consumed boolean DEFAULT false NOT NULL,
    consumed_by_function_id integer
);


--
-- Name: operation_outputs; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.operation_outputs (
    workflow_uuid text NOT NULL,
    function_id integer NOT NULL,
    function_name text DEFAULT ''::text NOT NULL,
    output text,
    error text,
    child_workflow_id text,
    started_at_epoch_ms bigint,
    completed_at_epoch_ms bigint,
    serialization text,
    application_name text,
    retention_timestamp bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL
);


--
-- Name: queues; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.queues (
    queue_id text DEFAULT (gen_random_uuid())::text NOT NULL,
    name text NOT NULL,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec double precision,
    priority_enabled boolean DEFAULT false NOT NULL,
    partition_queue boolean DEFAULT false NOT NULL,
    polling_interval_sec double precision DEFAULT 1.0 NOT NULL,
    created_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    updated_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    application_name text,
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec double precision
);


--
-- Name: streams; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.streams (
    workflow_uuid text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    "offset" integer NOT NULL,
    function_id integer DEFAULT 0 NOT NULL,
    serialization text
);


--
-- Name: workflow_events; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.workflow_events (
    workflow_uuid text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    serialization text
);


--
-- Name: workflow_events_history; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.workflow_events_history (
    workflow_uuid text NOT NULL,
    function_id integer NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    serialization text
);


--
-- Name: workflow_input; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.workflow_input (
    workflow_uuid text NOT NULL,
    inputs text,
    retention_timestamp bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL
);


--
-- Name: workflow_output; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.workflow_output (
    workflow_uuid text NOT NULL,
    output text,
    error text,
    retention_timestamp bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL
);


--
-- Name: workflow_schedules; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.workflow_schedules (
    schedule_id text NOT NULL,
    schedule_name text NOT NULL,
    workflow_name text NOT NULL,
    workflow_class_name text,
    schedule text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    context text NOT NULL,
    last_fired_at text,
    automatic_backfill boolean DEFAULT false NOT NULL,
    cron_timezone text,
    queue_name text,
    application_name text
);


--
-- Name: workflow_status; Type: TABLE; Schema: dbos; Owner: -
--

CREATE TABLE dbos.workflow_status (
    workflow_uuid text NOT NULL,
    status text,
    name text,
    authenticated_user text,
    assumed_role text,
    authenticated_roles text,
    request text,
    output text,
    error text,
    executor_id text,
    created_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    updated_at bigint DEFAULT ((EXTRACT(epoch FROM now()) * 1000.0))::bigint NOT NULL,
    application_version text,
    application_id text,
    class_name character varying(255) DEFAULT NULL::character varying,
    config_name character varying(255) DEFAULT NULL::character varying,
    recovery_attempts bigint DEFAULT 0,
    queue_name text,
    workflow_timeout_ms bigint,
    workflow_deadline_epoch_ms bigint,
    inputs text,
    started_at_epoch_ms bigint,
    deduplication_id text,
    priority integer DEFAULT 0 NOT NULL,
    queue_partition_key text,
    forked_from text,
    owner_xid text,
    parent_workflow_id text,
    serialization text,
    delay_until_epoch_ms bigint,
    was_forked_from boolean DEFAULT false NOT NULL,
    rate_limited boolean DEFAULT false NOT NULL,
    completed_at bigint,
    attributes jsonb,
    schedule_name text,
    debounce_deadline_epoch_ms bigint,
    is_debounced boolean DEFAULT false NOT NULL,
    application_name text,
    creator_xid text
);


--
-- Name: experience_1_breakers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.experience_1_breakers (
    provider text NOT NULL,
    model text NOT NULL,
    failures integer NOT NULL,
    opens integer NOT NULL,
    open_until bigint,
    code text NOT NULL,
    reason text NOT NULL
);


--
-- Name: experience_1_latencies; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.experience_1_latencies (
    provider text NOT NULL,
    model text NOT NULL,
    bucket text NOT NULL,
    seconds double precision NOT NULL,
    samples integer NOT NULL
);


--
-- Name: experience_1_results; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.experience_1_results (
    key text NOT NULL,
    image_ids text NOT NULL,
    made bigint NOT NULL
);


--
-- Name: holds; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.holds (
    id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    images integer NOT NULL,
    estimate bigint NOT NULL,
    actual bigint,
    state text NOT NULL,
    remote_id text NOT NULL,
    created bigint NOT NULL,
    day text NOT NULL,
    month text NOT NULL,
    owner text NOT NULL,
    note text NOT NULL
);


--
-- Name: lines_1_devices; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lines_1_devices (
    device text NOT NULL,
    model text NOT NULL,
    streak integer NOT NULL
);


--
-- Name: lines_1_executors; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lines_1_executors (
    id text NOT NULL,
    beat bigint NOT NULL
);


--
-- Name: lines_1_requests; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lines_1_requests (
    caller text NOT NULL,
    request_id text NOT NULL,
    job_id text NOT NULL,
    fingerprint text NOT NULL,
    made bigint NOT NULL
);


--
-- Name: lines_1_turns; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lines_1_turns (
    job_id text NOT NULL,
    executor text NOT NULL,
    device text NOT NULL,
    model text NOT NULL,
    priority integer NOT NULL,
    seconds double precision NOT NULL,
    joined bigint NOT NULL,
    state text NOT NULL,
    granted bigint NOT NULL,
    cancel boolean NOT NULL,
    fraction double precision NOT NULL,
    message text NOT NULL
);


--
-- Name: meta; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.meta (
    version integer NOT NULL
);


--
-- Data for Name: application_versions; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.application_versions VALUES
	('9f71330a-ff76-4f05-9200-d972746f0b80', '1', 1795860837183, 1795860837183, 'ziggie-image-mcp');


--
-- Data for Name: dbos_migrations; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.dbos_migrations VALUES
	(125);


--
-- Data for Name: event_dispatch_kv; Type: TABLE DATA; Schema: dbos; Owner: -
--



--
-- Data for Name: notifications; Type: TABLE DATA; Schema: dbos; Owner: -
--



--
-- Data for Name: operation_outputs; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.operation_outputs VALUES
	('job-e3b0c442-000000000000000000000000000000a3', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"refuse this one\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":3403217533,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837241, 1795860837252, 'portable_json', 'ziggie-image-mcp', 1795860837253),
	('job-e3b0c442-000000000000000000000000000000a3', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":false,\"milliseconds\":3,\"error_code\":\"REQUEST_REJECTED\",\"error\":\"the engine does not like this prompt\",\"cost_micro_usd\":0},\"images\":[],\"notes\":[],\"failure\":{\"code\":\"REQUEST_REJECTED\",\"message\":\"the engine does not like this prompt\",\"provider\":\"engine\",\"attempts\":[]},\"late\":false}"', NULL, NULL, 1795860837259, 1795860837277, 'portable_json', 'ziggie-image-mcp', 1795860837278),
	('job-e3b0c442-000000000000000000000000000000a1', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for free\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1166646410,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837317, 1795860837321, 'portable_json', 'ziggie-image-mcp', 1795860837322),
	('job-e3b0c442-000000000000000000000000000000a1', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":38,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0},\"images\":[{\"id\":\"20261128-df545edaa3d96c5e\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/finished-for-free-20261128-df545edaa3d96c5e.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":477,\"seed\":1166646410}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860837323, 1795860837372, 'portable_json', 'ziggie-image-mcp', 1795860837373),
	('job-e3b0c442-000000000000000000000000000000a2', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for money\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1610280354,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837391, 1795860837393, 'portable_json', 'ziggie-image-mcp', 1795860837394),
	('job-e3b0c442-000000000000000000000000000000a2', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"vendor\",\"model\":\"model\",\"ok\":true,\"milliseconds\":14,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":1000},\"images\":[{\"id\":\"20261128-92a573ed81111878\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/finished-for-money-20261128-92a573ed81111878.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":450,\"seed\":null}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860837395, 1795860837411, 'portable_json', 'ziggie-image-mcp', 1795860837412),
	('job-e3b0c442-000000000000000000000000000000a5', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for free, with a loaded model\",\"negative_prompt\":\"fog\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":4015174473,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837427, 1795860837430, 'portable_json', 'ziggie-image-mcp', 1795860837431),
	('job-e3b0c442-000000000000000000000000000000a5', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":27,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0},\"images\":[{\"id\":\"20261128-9cef27ba4e1635ab\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/finished-for-free-with-a-loaded-model-20261128-9cef27ba4e1635ab.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":537,\"seed\":4015174473}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860837431, 1795860837465, 'portable_json', 'ziggie-image-mcp', 1795860837466),
	('job-e3b0c442-000000000000000000000000000000f2', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"made before\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":7101,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023990625,\"cost_micro_usd\":0,\"seconds\":0.03125,\"why\":\"best of provider engine, as asked (local, free, about 0.0312 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837484, 1795860837487, 'portable_json', 'ziggie-image-mcp', 1795860837488),
	('job-e3b0c442-000000000000000000000000000000f2', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":31,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0},\"images\":[{\"id\":\"20261128-a18207e622a58d59\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/made-before-20261128-a18207e622a58d59.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":448,\"seed\":7101},{\"id\":\"20261128-e3f2c437c3098da3\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/made-before-20261128-e3f2c437c3098da3.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":448,\"seed\":7102}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860837490, 1795860837532, 'portable_json', 'ziggie-image-mcp', 1795860837533),
	('job-e3b0c442-000000000000000000000000000000f1', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":29,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0},\"images\":[{\"id\":\"20261128-a54c4cc5ca70f7f7\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/asked-twice-under-one-name-20261128-a54c4cc5ca70f7f7.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":483,\"seed\":6101}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860837557, 1795860837593, 'portable_json', 'ziggie-image-mcp', 1795860837593),
	('job-e3b0c442-000000000000000000000000000000f1', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"asked twice under one name\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":6101,\"steps\":20,\"guidance_scale\":7.5,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837553, 1795860837555, 'portable_json', 'ziggie-image-mcp', 1795860837556),
	('job-e3b0c442-000000000000000000000000000000a4', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"cancelled while it was made\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":2979753828,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860837616, 1795860837617, 'portable_json', 'ziggie-image-mcp', 1795860837618),
	('job-e3b0c442-000000000000000000000000000000c2', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"text_to_image\",\"seed\",\"negative_prompt\",\"steps\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed while it was made\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":3559285516,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023987827198612196,\"cost_micro_usd\":0,\"seconds\":0.04057600462601962,\"why\":\"best of provider engine, as asked (local, free, about 0.0406 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860839282, 1795860839296, 'portable_json', 'ziggie-image-mcp', 1795860839298),
	('job-e3b0c442-000000000000000000000000000000d1', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed with the money reserved\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":2691343132,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860839324, 1795860839338, 'portable_json', 'ziggie-image-mcp', 1795860839340),
	('job-e3b0c442-000000000000000000000000000000d2', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed before the vendor saw it\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":2695603841,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860839344, 1795860839349, 'portable_json', 'ziggie-image-mcp', 1795860839353),
	('job-e3b0c442-000000000000000000000000000000d3', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed before its remote id was kept\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":708533318,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860839524, 1795860839535, 'portable_json', 'ziggie-image-mcp', 1795860839536),
	('job-e3b0c442-000000000000000000000000000000d4', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed while the vendor made it\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":612483987,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.021990625,\"cost_micro_usd\":2000,\"seconds\":0.03125,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0020, about 0.0312 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860839574, 1795860839578, 'portable_json', 'ziggie-image-mcp', 1795860839579),
	('job-e3b0c442-000000000000000000000000000000d5', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed before it was settled\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1160117084,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860839606, 1795860839613, 'portable_json', 'ziggie-image-mcp', 1795860839614),
	('job-e3b0c442-000000000000000000000000000000e1', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"negative_prompt\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu-2\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"first of two\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":5101,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023987827198612196,\"cost_micro_usd\":0,\"seconds\":0.04057600462601962,\"why\":\"best of provider engine, as asked (local, free, about 0.0406 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860840214, 1795860840247, 'portable_json', 'ziggie-image-mcp', 1795860840249),
	('job-e3b0c442-000000000000000000000000000000e1', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":42,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0},\"images\":[{\"id\":\"20261128-6dec8bcad85f8038\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/first-of-two-20261128-6dec8bcad85f8038.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":449,\"seed\":5101},{\"id\":\"20261128-bbc1842e261cd3ff\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/first-of-two-20261128-bbc1842e261cd3ff.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":449,\"seed\":5102}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860840255, 1795860840369, 'portable_json', 'ziggie-image-mcp', 1795860840369),
	('job-e3b0c442-000000000000000000000000000000e1', 3, 'plan-1', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"negative_prompt\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu-2\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"second of two\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":5201,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860840371, 1795860840378, 'portable_json', 'ziggie-image-mcp', 1795860840379),
	('job-e3b0c442-000000000000000000000000000000c1', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"steps\",\"seed\",\"guidance_scale\",\"negative_prompt\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed while it waited for the device\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":749475870,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860840325, 1795860840389, 'portable_json', 'ziggie-image-mcp', 1795860840391),
	('batch-bb7fed7c3388-2', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"steps\",\"text_to_image\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu-3\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch free one\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":9001,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860841574, 1795860841709, 'portable_json', 'ziggie-image-mcp', 1795860841710),
	('batch-bb7fed7c3388-3.1', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"steps\",\"text_to_image\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch paid morning\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":557798217,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860841577, 1795860841710, 'portable_json', 'ziggie-image-mcp', 1795860841711),
	('batch-bb7fed7c3388-3.2', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"steps\",\"text_to_image\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch paid evening\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1663569581,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860841583, 1795860841716, 'portable_json', 'ziggie-image-mcp', 1795860841717),
	('batch-bb7fed7c3388-2', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":41,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0},\"images\":[{\"id\":\"20261128-c3a097c3716b0331\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/batch-free-one-20261128-c3a097c3716b0331.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":459,\"seed\":9001}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860841716, 1795860841784, 'portable_json', 'ziggie-image-mcp', 1795860841785),
	('batch-bb7fed7c3388-3.1', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"vendor\",\"model\":\"model\",\"ok\":true,\"milliseconds\":64,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":1000},\"images\":[{\"id\":\"20261128-41a62de28d43c522\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/batch-paid-morning-20261128-41a62de28d43c522.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":449,\"seed\":null}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860841715, 1795860841786, 'portable_json', 'ziggie-image-mcp', 1795860841787),
	('batch-bb7fed7c3388-3.2', 2, 'try-0-0', '"{\"attempt\":{\"provider\":\"vendor\",\"model\":\"model\",\"ok\":true,\"milliseconds\":62,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":1000},\"images\":[{\"id\":\"20261128-114e20d9b5ea9a2e\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/batch-paid-evening-20261128-114e20d9b5ea9a2e.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":450,\"seed\":null}],\"notes\":[],\"failure\":null,\"late\":false}"', NULL, NULL, 1795860841722, 1795860841792, 'portable_json', 'ziggie-image-mcp', 1795860841793),
	('batch-bb7fed7c3388-4', 1, 'plan-0', '"{\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"steps\",\"text_to_image\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu-3\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch killed\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":9004,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"stored\":null,\"failure\":null}"', NULL, NULL, 1795860842074, 1795860842081, 'portable_json', 'ziggie-image-mcp', 1795860842082);


--
-- Data for Name: queues; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.queues VALUES
	('4090c19d-378d-4d6d-a2d4-7947cadbe189', 'pictures', NULL, 8, NULL, NULL, true, false, 0.5, 1795860837210, 1795860841101, 'ziggie-image-mcp', NULL, NULL, NULL, NULL);


--
-- Data for Name: streams; Type: TABLE DATA; Schema: dbos; Owner: -
--



--
-- Data for Name: workflow_events; Type: TABLE DATA; Schema: dbos; Owner: -
--



--
-- Data for Name: workflow_events_history; Type: TABLE DATA; Schema: dbos; Owner: -
--



--
-- Data for Name: workflow_input; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.workflow_input VALUES
	('job-e3b0c442-000000000000000000000000000000a3', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000a3\",\"requests\":[{\"prompt\":\"refuse this one\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:56.770645Z\",\"until\":\"2090-04-14T13:47:16.770645Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"refuse this one\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837230),
	('job-e3b0c442-000000000000000000000000000000a1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000a1\",\"requests\":[{\"prompt\":\"finished for free\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:57.303345Z\",\"until\":\"2090-04-14T13:47:17.303345Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for free\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837311),
	('job-e3b0c442-000000000000000000000000000000a2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000a2\",\"requests\":[{\"prompt\":\"finished for money\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:57.380792Z\",\"until\":\"2090-04-14T13:47:17.380792Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for money\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837386),
	('job-e3b0c442-000000000000000000000000000000a5', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000a5\",\"requests\":[{\"prompt\":\"finished for free, with a loaded model\",\"negative_prompt\":\"fog\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:57.417755Z\",\"until\":\"2090-04-14T13:47:17.417755Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for free, with a loaded model\",\"negative_prompt\":\"fog\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837423),
	('job-e3b0c442-000000000000000000000000000000f2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000f2\",\"requests\":[{\"prompt\":\"made before\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":2,\"seed\":7101,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:57.471491Z\",\"until\":\"2090-04-14T13:47:17.471491Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"made before\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":7101,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023990625,\"cost_micro_usd\":0,\"seconds\":0.03125,\"why\":\"best of provider engine, as asked (local, free, about 0.0312 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837478),
	('job-e3b0c442-000000000000000000000000000000f1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000f1\",\"requests\":[{\"prompt\":\"asked twice under one name\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":6101,\"steps\":null,\"guidance_scale\":7.5,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:57.542307Z\",\"until\":\"2090-04-14T13:47:17.542307Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"asked twice under one name\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":6101,\"steps\":20,\"guidance_scale\":7.5,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0239953125,\"cost_micro_usd\":0,\"seconds\":0.015625,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837548),
	('job-e3b0c442-000000000000000000000000000000a4', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000a4\",\"requests\":[{\"prompt\":\"cancelled while it was made\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:57.607913Z\",\"until\":\"2090-04-14T13:47:17.607913Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"cancelled while it was made\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860837613),
	('job-e3b0c442-000000000000000000000000000000c2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000c2\",\"requests\":[{\"prompt\":\"killed while it was made\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":2,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:58.799653Z\",\"until\":\"2090-04-14T13:47:18.799653Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"text_to_image\",\"seed\",\"negative_prompt\",\"steps\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed while it was made\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023987827198612196,\"cost_micro_usd\":0,\"seconds\":0.04057600462601962,\"why\":\"best of provider engine, as asked (local, free, about 0.0406 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860839262),
	('job-e3b0c442-000000000000000000000000000000d1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000d1\",\"requests\":[{\"prompt\":\"killed with the money reserved\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:58.800964Z\",\"until\":\"2090-04-14T13:47:18.800964Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed with the money reserved\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860839308),
	('job-e3b0c442-000000000000000000000000000000d2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000d2\",\"requests\":[{\"prompt\":\"killed before the vendor saw it\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:59.314199Z\",\"until\":\"2090-04-14T13:47:19.314199Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed before the vendor saw it\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860839330),
	('job-e3b0c442-000000000000000000000000000000d3', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000d3\",\"requests\":[{\"prompt\":\"killed before its remote id was kept\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:59.340179Z\",\"until\":\"2090-04-14T13:47:19.340179Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed before its remote id was kept\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860839368),
	('job-e3b0c442-000000000000000000000000000000d4', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000d4\",\"requests\":[{\"prompt\":\"killed while the vendor made it\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":2,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:59.521115Z\",\"until\":\"2090-04-14T13:47:19.521115Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed while the vendor made it\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.021990625,\"cost_micro_usd\":2000,\"seconds\":0.03125,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0020, about 0.0312 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860839558),
	('job-e3b0c442-000000000000000000000000000000d5', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000d5\",\"requests\":[{\"prompt\":\"killed before it was settled\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:59.566280Z\",\"until\":\"2090-04-14T13:47:19.566280Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"negative_prompt\",\"steps\",\"seed\",\"guidance_scale\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed before it was settled\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.0229953125,\"cost_micro_usd\":1000,\"seconds\":0.015625,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860839593),
	('job-e3b0c442-000000000000000000000000000000b1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000b1\",\"requests\":[{\"prompt\":\"queued and never taken\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":1101,\"steps\":12,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:03.106833Z\",\"until\":\"2090-04-14T13:47:23.106833Z\",\"routes\":[],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860843107),
	('job-e3b0c442-000000000000000000000000000000e1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000e1\",\"requests\":[{\"prompt\":\"first of two\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":2,\"seed\":5101,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null},{\"prompt\":\"second of two\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":5201,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:59.704083Z\",\"until\":\"2090-04-14T13:47:19.704083Z\",\"routes\":[],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860840202),
	('job-e3b0c442-000000000000000000000000000000c1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000c1\",\"requests\":[{\"prompt\":\"killed while it waited for the device\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:13:59.742400Z\",\"until\":\"2090-04-14T13:47:19.742400Z\",\"routes\":[{\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"steps\",\"seed\",\"guidance_scale\",\"negative_prompt\",\"text_to_image\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"killed while it waited for the device\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":0,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"score\":-0.023993913599306096,\"cost_micro_usd\":0,\"seconds\":0.02028800231300981,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"notes\":[],\"wait_seconds\":0.0}],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860840243),
	('batch-bb7fed7c3388-2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"batch-bb7fed7c3388-2\",\"requests\":[{\"prompt\":\"batch free one\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":9001,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:01.112787Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"batch-bb7fed7c3388-\",\"group_micro_usd\":5000}"]}', 1795860841120),
	('batch-bb7fed7c3388-3.1', '{"namedArgs":{},"positionalArgs":["{\"id\":\"batch-bb7fed7c3388-3.1\",\"requests\":[{\"prompt\":\"batch paid morning\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:01.122490Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"batch-bb7fed7c3388-\",\"group_micro_usd\":5000}"]}', 1795860841123),
	('batch-bb7fed7c3388-3.2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"batch-bb7fed7c3388-3.2\",\"requests\":[{\"prompt\":\"batch paid evening\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"vendor\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:01.124517Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"batch-bb7fed7c3388-\",\"group_micro_usd\":5000}"]}', 1795860841125),
	('batch-bb7fed7c3388-4', '{"namedArgs":{},"positionalArgs":["{\"id\":\"batch-bb7fed7c3388-4\",\"requests\":[{\"prompt\":\"batch killed\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":9004,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:01.126733Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"batch-bb7fed7c3388-\",\"group_micro_usd\":5000}"]}', 1795860841859),
	('batch-bb7fed7c3388-6', '{"namedArgs":{},"positionalArgs":["{\"id\":\"batch-bb7fed7c3388-6\",\"requests\":[{\"prompt\":\"batch queued\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":9006,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:01.860459Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"batch-bb7fed7c3388-\",\"group_micro_usd\":5000}"]}', 1795860843103),
	('batch-bb7fed7c3388-7', '{"namedArgs":{},"positionalArgs":["{\"id\":\"batch-bb7fed7c3388-7\",\"requests\":[{\"prompt\":\"batch also queued\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":null,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":true,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:03.103941Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"batch-bb7fed7c3388-\",\"group_micro_usd\":5000}"]}', 1795860843105),
	('job-e3b0c442-000000000000000000000000000000b2', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000b2\",\"requests\":[{\"prompt\":\"due in 2099\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":1102,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:03.108191Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860843109),
	('job-e3b0c442-000000000000000000000000000000b3', '{"namedArgs":{},"positionalArgs":["{\"id\":\"job-e3b0c442-000000000000000000000000000000b3\",\"requests\":[{\"prompt\":\"due soon after\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"aspect_ratio\":null,\"num_images\":1,\"seed\":1103,\"steps\":null,\"guidance_scale\":null,\"sampler\":null,\"scheduler\":null,\"model\":null,\"provider\":\"engine\",\"quality\":null,\"max_cost_usd\":null,\"allow_paid\":false,\"output_format\":null,\"file_name\":\"\",\"image\":null,\"mask\":null,\"strength\":null}],\"terms\":{\"privacy\":\"any\",\"commercial_use\":false,\"provider\":\"auto\",\"allow_paid_fallback\":\"ask\"},\"accepted\":\"2026-11-28T10:14:03.109982Z\",\"until\":null,\"routes\":[],\"yes\":null,\"group\":\"\",\"group_micro_usd\":null}"]}', 1795860843110);


--
-- Data for Name: workflow_output; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.workflow_output VALUES
	('job-e3b0c442-000000000000000000000000000000a3', '"{\"results\":[],\"failures\":[{\"code\":\"REQUEST_REJECTED\",\"message\":\"the engine does not like this prompt\",\"provider\":\"engine\",\"attempts\":[]}]}"', NULL, 1795860837299),
	('job-e3b0c442-000000000000000000000000000000a1', '"{\"results\":[{\"images\":[{\"id\":\"20261128-df545edaa3d96c5e\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/finished-for-free-20261128-df545edaa3d96c5e.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":477,\"seed\":1166646410}],\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for free\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1166646410,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"attempts\":[{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":38,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0}],\"notes\":[],\"cost_micro_usd\":0,\"seconds\":0.05702255599999262}],\"failures\":[]}"', NULL, 1795860837377),
	('job-e3b0c442-000000000000000000000000000000a2', '"{\"results\":[{\"images\":[{\"id\":\"20261128-92a573ed81111878\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/finished-for-money-20261128-92a573ed81111878.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":450,\"seed\":null}],\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for money\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1610280354,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"attempts\":[{\"provider\":\"vendor\",\"model\":\"model\",\"ok\":true,\"milliseconds\":14,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":1000}],\"notes\":[],\"cost_micro_usd\":1000,\"seconds\":0.021847210000032646}],\"failures\":[]}"', NULL, 1795860837416),
	('job-e3b0c442-000000000000000000000000000000a5', '"{\"results\":[{\"images\":[{\"id\":\"20261128-9cef27ba4e1635ab\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/finished-for-free-with-a-loaded-model-20261128-9cef27ba4e1635ab.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":537,\"seed\":4015174473}],\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"finished for free, with a loaded model\",\"negative_prompt\":\"fog\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":4015174473,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"attempts\":[{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":27,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0}],\"notes\":[],\"cost_micro_usd\":0,\"seconds\":0.03937823899991599}],\"failures\":[]}"', NULL, 1795860837469),
	('job-e3b0c442-000000000000000000000000000000f2', '"{\"results\":[{\"images\":[{\"id\":\"20261128-a18207e622a58d59\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/made-before-20261128-a18207e622a58d59.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":448,\"seed\":7101},{\"id\":\"20261128-e3f2c437c3098da3\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/made-before-20261128-e3f2c437c3098da3.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":448,\"seed\":7102}],\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"made before\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":2,\"seed\":7101,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider engine, as asked (local, free, about 0.0312 s expected)\",\"attempts\":[{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":31,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0}],\"notes\":[],\"cost_micro_usd\":0,\"seconds\":0.04930768700000954}],\"failures\":[]}"', NULL, 1795860837536),
	('job-e3b0c442-000000000000000000000000000000a4', '"{\"results\":[],\"failures\":[{\"code\":\"CANCELLED\",\"message\":\"It was cancelled.\",\"provider\":\"\",\"attempts\":[]}]}"', NULL, 1795860837642),
	('job-e3b0c442-000000000000000000000000000000f1', '"{\"results\":[{\"images\":[{\"id\":\"20261128-a54c4cc5ca70f7f7\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/asked-twice-under-one-name-20261128-a54c4cc5ca70f7f7.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":483,\"seed\":6101}],\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"guidance_scale\",\"seed\",\"steps\",\"text_to_image\",\"negative_prompt\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"asked twice under one name\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":6101,\"steps\":20,\"guidance_scale\":7.5,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider engine, as asked (local, free, about 0.0156 s expected)\",\"attempts\":[{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":29,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0}],\"notes\":[],\"cost_micro_usd\":0,\"seconds\":0.041777893000016775}],\"failures\":[]}"', NULL, 1795860837597),
	('batch-bb7fed7c3388-2', '"{\"results\":[{\"images\":[{\"id\":\"20261128-c3a097c3716b0331\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/batch-free-one-20261128-c3a097c3716b0331.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":459,\"seed\":9001}],\"model\":{\"id\":\"model\",\"provider\":\"engine\",\"local\":true,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"text_to_image\",\"steps\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"gpu-3\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":0,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch free one\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":9001,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider engine, as asked (local, free, about 0.0203 s expected)\",\"attempts\":[{\"provider\":\"engine\",\"model\":\"model\",\"ok\":true,\"milliseconds\":41,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":0}],\"notes\":[],\"cost_micro_usd\":0,\"seconds\":0.21512333399982708}],\"failures\":[]}"', NULL, 1795860841803),
	('batch-bb7fed7c3388-3.1', '"{\"results\":[{\"images\":[{\"id\":\"20261128-41a62de28d43c522\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/batch-paid-morning-20261128-41a62de28d43c522.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":449,\"seed\":null}],\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"text_to_image\",\"steps\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch paid morning\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":557798217,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"attempts\":[{\"provider\":\"vendor\",\"model\":\"model\",\"ok\":true,\"milliseconds\":64,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":1000}],\"notes\":[],\"cost_micro_usd\":1000,\"seconds\":0.21275798100009524}],\"failures\":[]}"', NULL, 1795860841805),
	('batch-bb7fed7c3388-3.2', '"{\"results\":[{\"images\":[{\"id\":\"20261128-114e20d9b5ea9a2e\",\"path\":\"/tmp/zim-version-1/postgres/pictures/2026-11-28/batch-paid-evening-20261128-114e20d9b5ea9a2e.png\",\"media_type\":\"image/png\",\"width\":64,\"height\":64,\"bytes\":450,\"seed\":null}],\"model\":{\"id\":\"model\",\"provider\":\"vendor\",\"local\":false,\"family\":null,\"title\":\"\",\"aliases\":[],\"features\":[\"seed\",\"negative_prompt\",\"text_to_image\",\"steps\",\"guidance_scale\"],\"installed\":true,\"how_to_install\":\"\",\"demo\":false,\"loaded\":false,\"native_width\":1024,\"native_height\":1024,\"min_side\":64,\"max_side\":2048,\"multiple_of\":8,\"min_pixels\":0,\"max_pixels\":null,\"max_images\":16,\"default_steps\":20,\"default_guidance\":5.0,\"distilled\":false,\"vram_bytes\":null,\"ram_bytes\":null,\"device\":\"\",\"remote\":false,\"quality\":null,\"license\":\"\",\"commercial_use\":null,\"price_micro_usd\":1000,\"price_by_pixels\":[],\"price_of_given_micro_usd\":0,\"price_as_of\":null,\"seconds\":4.0},\"job\":{\"prompt\":\"batch paid evening\",\"negative_prompt\":\"\",\"width\":64,\"height\":64,\"num_images\":1,\"seed\":1663569581,\"steps\":20,\"guidance_scale\":5.0,\"sampler\":null,\"scheduler\":null,\"strength\":null,\"image_id\":\"\",\"mask_id\":\"\",\"image\":null,\"mask\":null},\"requested_width\":64,\"requested_height\":64,\"why\":\"best of provider vendor, as asked (cloud, at most $0.0010, about 0.0156 s expected)\",\"attempts\":[{\"provider\":\"vendor\",\"model\":\"model\",\"ok\":true,\"milliseconds\":62,\"error_code\":\"\",\"error\":\"\",\"cost_micro_usd\":1000}],\"notes\":[],\"cost_micro_usd\":1000,\"seconds\":0.21949105200019403}],\"failures\":[]}"', NULL, 1795860841807);


--
-- Data for Name: workflow_schedules; Type: TABLE DATA; Schema: dbos; Owner: -
--



--
-- Data for Name: workflow_status; Type: TABLE DATA; Schema: dbos; Owner: -
--

INSERT INTO dbos.workflow_status VALUES
	('job-e3b0c442-000000000000000000000000000000a3', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837230, 1795860837299, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837299, 'null', NULL, NULL, false, 'ziggie-image-mcp', '18e45194-616f-41f3-bef2-e7db39c1d745'),
	('job-e3b0c442-000000000000000000000000000000a1', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837311, 1795860837377, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837377, 'null', NULL, NULL, false, 'ziggie-image-mcp', '6d080701-a8ee-4699-beb8-695257f82d64'),
	('job-e3b0c442-000000000000000000000000000000a2', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837386, 1795860837416, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837416, 'null', NULL, NULL, false, 'ziggie-image-mcp', '92e20880-5df1-43ff-a045-c2013007b496'),
	('job-e3b0c442-000000000000000000000000000000a5', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837423, 1795860837469, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837469, 'null', NULL, NULL, false, 'ziggie-image-mcp', '6f201352-c854-4a13-a92d-6a0c625701b3'),
	('job-e3b0c442-000000000000000000000000000000f2', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837478, 1795860837536, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837536, 'null', NULL, NULL, false, 'ziggie-image-mcp', '135fc97f-f8db-4bc3-b045-058e388b56e1'),
	('job-e3b0c442-000000000000000000000000000000f1', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837548, 1795860837597, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837597, 'null', NULL, NULL, false, 'ziggie-image-mcp', '2b228e78-45f2-44c2-9e7b-7cee41fba405'),
	('job-e3b0c442-000000000000000000000000000000a4', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/0000000000000000', 1795860837613, 1795860837642, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860837642, 'null', NULL, NULL, false, 'ziggie-image-mcp', '84a66ba7-c0dd-4747-ac63-06259e76e2ae'),
	('job-e3b0c442-000000000000000000000000000000c2', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/1/2000000000000000', 1795860839262, 1795860839262, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '48096a91-717f-4ae4-85f0-0258b74a8e8a', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '48096a91-717f-4ae4-85f0-0258b74a8e8a'),
	('job-e3b0c442-000000000000000000000000000000d1', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/2/1000000000000000', 1795860839308, 1795860839308, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '7a449daf-4820-4bc1-8563-7931ae7c089a', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '7a449daf-4820-4bc1-8563-7931ae7c089a'),
	('job-e3b0c442-000000000000000000000000000000d2', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/2/1000000000000000', 1795860839330, 1795860839330, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '51d7b013-41dd-4377-ac42-54f15e1c580a', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '51d7b013-41dd-4377-ac42-54f15e1c580a'),
	('job-e3b0c442-000000000000000000000000000000d3', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/2/1000000000000000', 1795860839368, 1795860839368, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '2c252785-f752-4ec9-94b1-20f7fa518de7', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '2c252785-f752-4ec9-94b1-20f7fa518de7'),
	('job-e3b0c442-000000000000000000000000000000d4', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/2/1000000000000000', 1795860839558, 1795860839558, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '2bf29c14-756f-4f26-b831-958f8bc3ba40', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '2bf29c14-756f-4f26-b831-958f8bc3ba40'),
	('job-e3b0c442-000000000000000000000000000000d5', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/2/1000000000000000', 1795860839593, 1795860839593, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '3323cceb-869d-4db6-a707-1ec1e7179269', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '3323cceb-869d-4db6-a707-1ec1e7179269'),
	('job-e3b0c442-000000000000000000000000000000e1', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/3/4000000000000000', 1795860840202, 1795860840202, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, '6540d9b0-756e-447e-968c-8ed25bb3fbac', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '6540d9b0-756e-447e-968c-8ed25bb3fbac'),
	('job-e3b0c442-000000000000000000000000000000c1', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/4/3000000000000000', 1795860840243, 1795860840243, '1', '', NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, 'cfdd7f0a-5c8b-4fda-b808-5c456f2a18eb', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', 'cfdd7f0a-5c8b-4fda-b808-5c456f2a18eb'),
	('batch-bb7fed7c3388-2', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/5000000000000000', 1795860841120, 1795860841803, '1', '', NULL, NULL, 1, 'pictures', NULL, NULL, NULL, 1795860841553, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860841803, 'null', NULL, NULL, false, 'ziggie-image-mcp', 'a5755f9f-4e14-42de-9282-09d2d9f0c9f4'),
	('batch-bb7fed7c3388-3.1', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/5000000000000000', 1795860841123, 1795860841805, '1', '', NULL, NULL, 1, 'pictures', NULL, NULL, NULL, 1795860841553, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860841805, 'null', NULL, NULL, false, 'ziggie-image-mcp', 'f64c11ed-c5f8-486b-963e-5f5a670e9f05'),
	('batch-bb7fed7c3388-4', 'PENDING', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/5000000000000000', 1795860841859, 1795860842066, '1', '', NULL, NULL, 1, 'pictures', NULL, NULL, NULL, 1795860842066, NULL, 0, NULL, NULL, '84a04b3f-28b9-4997-9a83-dcceacf412e3', NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '1ea1b24c-14e2-468d-9387-13b5a4519a8a'),
	('batch-bb7fed7c3388-7', 'ENQUEUED', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/5/6000000000000001', 1795860843105, 1795860843105, '1', '', NULL, NULL, 0, 'pictures', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', 'adb78fc9-0019-4bb6-aab3-6a98ebb92096'),
	('job-e3b0c442-000000000000000000000000000000b1', 'ENQUEUED', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/5/6000000000000001', 1795860843107, 1795860843107, '1', '', NULL, NULL, 0, 'pictures', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '4b7d9a94-11ab-4a1b-8006-9b4dcaf3f307'),
	('job-e3b0c442-000000000000000000000000000000b3', 'DELAYED', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/5/6000000000000001', 1795860843110, 1795860843110, '1', '', NULL, NULL, 0, 'pictures', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', 1795860846108, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '8bc2c504-9d51-4e6b-85a5-30d5464c3052'),
	('batch-bb7fed7c3388-3.2', 'SUCCESS', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/0/5000000000000000', 1795860841125, 1795860841807, '1', '', NULL, NULL, 1, 'pictures', NULL, NULL, NULL, 1795860841553, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, 1795860841807, 'null', NULL, NULL, false, 'ziggie-image-mcp', 'ccb4b3ad-0fc2-413e-ac7f-642a93d44631'),
	('batch-bb7fed7c3388-6', 'ENQUEUED', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/5/6000000000000001', 1795860843103, 1795860843103, '1', '', NULL, NULL, 0, 'pictures', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', NULL, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '73fc545f-53f3-4f1f-89e0-b03d938f86d1'),
	('job-e3b0c442-000000000000000000000000000000b2', 'DELAYED', 'order', NULL, NULL, NULL, NULL, NULL, NULL, 'frozen-host-2000000beef-487749/5/6000000000000001', 1795860843109, 1795860843109, '1', '', NULL, NULL, 0, 'pictures', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 'portable_json', 4070908800000, false, false, NULL, 'null', NULL, NULL, false, 'ziggie-image-mcp', '080fb980-de18-45f9-9102-3c5ac5f7cfa1');


--
-- Data for Name: experience_1_breakers; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.experience_1_breakers VALUES
	('elsewhere', 'model', 3, 1, 1795860869675805, 'PROVIDER_UNAVAILABLE', 'nobody answers at elsewhere'),
	('elsewhere', 'second', 2, 0, NULL, 'PROVIDER_UNAVAILABLE', 'nobody answers at elsewhere');


--
-- Data for Name: experience_1_latencies; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.experience_1_latencies VALUES
	('engine', 'other', '1MP/32', 4.784925393715516, 4),
	('openai', 'gpt-image-2.5-flare', '1MP', 9.558451968542798, 2),
	('engine', 'model', '0.00390625MP/32', 0.02028800231300981, 3),
	('vendor', 'model', '0.00390625MP/32', 0.024250081143134747, 3);


--
-- Data for Name: experience_1_results; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.experience_1_results VALUES
	('636ad1e1c88814297dd56ec616b636df817e2dd91c84b05ea4d3c58eef864f7c', '20261128-a18207e622a58d59 20261128-e3f2c437c3098da3', 1795860837523916),
	('bb062908ea0bc6690a90294f7890cde6656ca5ef6c4b46bbb0b5b59997c78367', '20261128-a54c4cc5ca70f7f7', 1795860837584692),
	('34054cb58199b4c48db0b0a0b615d3aa97e3677e0bfd8f1305a8d042243169d4', '20261128-6dec8bcad85f8038 20261128-bbc1842e261cd3ff', 1795860840360337),
	('767b576bc7908a2da6553ce1c789944f9f0da956978a75802430f6e4d9fb0ab7', '20261128-c3a097c3716b0331', 1795860841770683);


--
-- Data for Name: holds; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.holds VALUES
	('job-e3b0c442-11111111111111111111111111110000.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-44791087efcb', 1793248500000000, '2026-10-29', '2026-10', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110001.0.0', 'replicate', 'black-forest-labs/flux-schnell', 2, 6000, 5830, 'settled', 'remote-9a293a8f53b0', 1793246460000000, '2026-10-29', '2026-10', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110013.0.0', 'vendor', 'model', 2, 2000, 1830, 'settled', 'remote-c3cda7e92617', 1793953020000000, '2026-11-06', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110002.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 3000, 'settled', 'remote-ce9edc34afd7', 1793312040000000, '2026-10-29', '2026-10', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110009.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-72f35c641692', 1793494740000000, '2026-11-01', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110003.0.0', 'openai', 'gpt-image-2.5-flare', 2, 26340, 26170, 'settled', 'remote-2be45439622d', 1793378340000000, '2026-10-30', '2026-10', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110004.0.0', 'openai', 'gpt-image-2.5-flare', 2, 26340, NULL, 'released', '', 1793393040000000, '2026-10-30', '2026-10', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-11111111111111111111111111110005.0.0', 'vendor', 'model', 1, 1000, 1120, 'settled', 'remote-cfe02eaf1a84', 1793437500000000, '2026-10-31', '2026-10', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.00112, estimated $0.001; the price of vendor/model is out of date.'),
	('job-e3b0c442-11111111111111111111111111110006.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 3000, 'settled', 'remote-07bc19d74b76', 1793417340000000, '2026-10-31', '2026-10', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111000f.0.0', 'vendor', 'model', 4, 4000, 3830, 'settled', 'remote-8b82294a642d', 1793791260000000, '2026-11-04', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110007.0.0', 'vendor', 'model', 4, 4000, 4000, 'settled', 'remote-becf43848e57', 1793494320000000, '2026-11-01', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111000a.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-9428dd139ef9', 1793638500000000, '2026-11-02', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110008.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-674cb069127e', 1793538000000000, '2026-11-01', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111000b.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-e7fcadedca12', 1793605920000000, '2026-11-02', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111000c.0.0', 'openai', 'gpt-image-2.5-flare', 2, 26340, 26460, 'settled', 'remote-361c51f9a530', 1793699580000000, '2026-11-03', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.02646, estimated $0.02634; the price of openai/gpt-image-2.5-flare is out of date.'),
	('job-e3b0c442-1111111111111111111111111111000d.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, NULL, 'released', '', 1793742900000000, '2026-11-03', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-1111111111111111111111111111000e.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-0860e6f8b896', 1793827680000000, '2026-11-04', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110010.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-af95f765f80e', 1793812740000000, '2026-11-04', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110011.0.0', 'vendor', 'model', 2, 2000, 2120, 'settled', 'remote-27b50aec4060', 1793871660000000, '2026-11-05', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.00212, estimated $0.002; the price of vendor/model is out of date.'),
	('job-e3b0c442-11111111111111111111111111110014.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, NULL, 'unknown', '', 1794004860000000, '2026-11-06', '2026-11', 'frozen-host:25363:1795860835.36', 'outcome unknown: no answer came'),
	('job-e3b0c442-11111111111111111111111111110012.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-a13f7bc07364', 1793885100000000, '2026-11-05', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110017.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52510, 'settled', 'remote-383a522f4ec3', 1794022860000000, '2026-11-07', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110015.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-63ca74633fa3', 1794054660000000, '2026-11-07', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110016.0.0', 'vendor', 'model', 4, 4000, NULL, 'released', '', 1794063480000000, '2026-11-07', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-11111111111111111111111111110019.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, 12120, 'settled', 'remote-61564e8d6a31', 1794101340000000, '2026-11-08', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.01212, estimated $0.012; the price of replicate/black-forest-labs/flux-schnell is out of date.'),
	('job-e3b0c442-11111111111111111111111111110018.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 2830, 'settled', 'remote-cb6092adbbff', 1794141480000000, '2026-11-08', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111001a.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 3000, 'settled', 'remote-05666d04f91e', 1794253440000000, '2026-11-09', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111001b.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-d89daa05e061', 1794244080000000, '2026-11-09', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111001c.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-2f5fbd699bec', 1794335100000000, '2026-11-10', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111001d.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, 12000, 'settled', 'remote-93ae19096ac2', 1794331920000000, '2026-11-10', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111001e.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, 12120, 'settled', 'remote-08e25c1b5b79', 1794325200000000, '2026-11-10', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.01212, estimated $0.012; the price of replicate/black-forest-labs/flux-schnell is out of date.'),
	('job-e3b0c442-1111111111111111111111111111001f.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, NULL, 'released', '', 1794355860000000, '2026-11-11', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-11111111111111111111111111110020.0.0', 'vendor', 'model', 4, 4000, 4000, 'settled', 'remote-c4245e676cb3', 1794371040000000, '2026-11-11', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111002e.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 2830, 'settled', 'remote-f2412fed4a07', 1794954240000000, '2026-11-17', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110021.0.0', 'openai', 'gpt-image-2.5-flare', 2, 26340, 26340, 'settled', 'remote-29372f68aae3', 1794493920000000, '2026-11-12', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110029.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-55100913b910', 1794783480000000, '2026-11-15', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110022.0.0', 'vendor', 'model', 1, 1000, 1120, 'settled', 'remote-242b3b64fabc', 1794511620000000, '2026-11-12', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.00112, estimated $0.001; the price of vendor/model is out of date.'),
	('job-e3b0c442-11111111111111111111111111110023.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 2830, 'settled', 'remote-25840dbb2751', 1794578760000000, '2026-11-13', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110024.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52800, 'settled', 'remote-2a4500191f11', 1794570480000000, '2026-11-13', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.0528, estimated $0.05268; the price of openai/gpt-image-2.5-flare is out of date.'),
	('job-e3b0c442-11111111111111111111111111110025.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-b5fd6ed87d12', 1794604560000000, '2026-11-13', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111002a.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-cf9d1aacde70', 1794842820000000, '2026-11-16', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110026.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-6ebe3ded1fe6', 1794688080000000, '2026-11-14', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110027.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-6134d4d0e453', 1794682020000000, '2026-11-14', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110028.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, NULL, 'released', '', 1794768480000000, '2026-11-15', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-1111111111111111111111111111002b.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52680, 'settled', 'remote-2ff9523ceab7', 1794820200000000, '2026-11-16', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111002c.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 3000, 'settled', 'remote-e266562231f9', 1794829500000000, '2026-11-16', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111002f.0.0', 'replicate', 'black-forest-labs/flux-schnell', 2, 6000, 5830, 'settled', 'remote-2cf19676ca8d', 1795046280000000, '2026-11-18', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111002d.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, 12000, 'settled', 'remote-de501231cb7e', 1794893160000000, '2026-11-17', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110033.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, NULL, 'unknown', '', 1795072080000000, '2026-11-19', '2026-11', 'frozen-host:25363:1795860835.36', 'outcome unknown: no answer came'),
	('job-e3b0c442-11111111111111111111111111110030.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13000, 'settled', 'remote-52c03c19c831', 1794973980000000, '2026-11-18', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110031.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, NULL, 'released', '', 1795088580000000, '2026-11-19', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-11111111111111111111111111110032.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13290, 'settled', 'remote-4800198a43b2', 1795078140000000, '2026-11-19', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.01329, estimated $0.01317; the price of openai/gpt-image-2.5-flare is out of date.'),
	('job-e3b0c442-11111111111111111111111111110034.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-aaa815fc241e', 1795185840000000, '2026-11-20', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110035.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-0070f762963d', 1795181580000000, '2026-11-20', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110036.0.0', 'vendor', 'model', 4, 4000, 3830, 'settled', 'remote-8b2eb2f93536', 1795273920000000, '2026-11-21', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110039.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-64482bd74a0a', 1795388520000000, '2026-11-22', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110037.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52510, 'settled', 'remote-9d8cc3590e85', 1795286100000000, '2026-11-21', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110038.0.0', 'vendor', 'model', 1, 1000, 830, 'settled', 'remote-cc43906d8cc2', 1795333020000000, '2026-11-22', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111003a.0.0', 'vendor', 'model', 1, 1000, NULL, 'released', '', 1795312800000000, '2026-11-22', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-1111111111111111111111111111003b.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-fc601c0a1dc5', 1795407420000000, '2026-11-23', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111003c.0.0', 'openai', 'gpt-image-2.5-flare', 1, 13170, 13170, 'settled', 'remote-4abf70b5c9ca', 1795400640000000, '2026-11-23', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111003d.0.0', 'replicate', 'black-forest-labs/flux-schnell', 4, 12000, 12000, 'settled', 'remote-31a838359aab', 1795497840000000, '2026-11-24', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111003e.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52680, 'settled', 'remote-449ae4c1b299', 1795494420000000, '2026-11-24', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-1111111111111111111111111111003f.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52510, 'settled', 'remote-0149ae29351b', 1795637340000000, '2026-11-25', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110040.0.0', 'vendor', 'model', 4, 4000, 4120, 'settled', 'remote-589b315b4c85', 1795585860000000, '2026-11-25', '2026-11', 'frozen-host:25363:1795860835.36', 'Price drift: cost $0.00412, estimated $0.004; the price of vendor/model is out of date.'),
	('job-e3b0c442-000000000000000000000000000000d5.0.0', 'vendor', 'model', 1, 1000, NULL, 'submitted', 'remote-0929b2929680', 1795860839637098, '2026-11-28', '2026-11', 'frozen-host:25407:1795860838.22', ''),
	('job-e3b0c442-11111111111111111111111111110041.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 3000, 'settled', 'remote-45a2354b8a6d', 1795569360000000, '2026-11-25', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('ask-ee6ef6c961677f9d7524dee9-6000000000000000', 'vendor', 'model', 3, 3000, NULL, 'reserved', '', 1795860840894350, '2026-11-28', '2026-11', 'frozen-host:25494:1795860840.11', ''),
	('job-e3b0c442-11111111111111111111111111110042.0.0', 'openai', 'gpt-image-2.5-flare', 4, 52680, 52510, 'settled', 'remote-b3446a9bf793', 1795663320000000, '2026-11-26', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110043.0.0', 'openai', 'gpt-image-2.5-flare', 2, 26340, NULL, 'released', '', 1795723860000000, '2026-11-26', '2026-11', 'frozen-host:25363:1795860835.36', 'it was not needed'),
	('job-e3b0c442-11111111111111111111111111110044.0.0', 'vendor', 'model', 2, 2000, 2000, 'settled', 'remote-d1dce5cefbaf', 1795750380000000, '2026-11-27', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-11111111111111111111111111110045.0.0', 'replicate', 'black-forest-labs/flux-schnell', 1, 3000, 3000, 'settled', 'remote-2d7340ab85fd', 1795799520000000, '2026-11-27', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-000000000000000000000000000000a2.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-0b64556f9c03', 1795860837398215, '2026-11-28', '2026-11', 'frozen-host:25363:1795860835.36', ''),
	('job-e3b0c442-000000000000000000000000000000d1.0.0', 'vendor', 'model', 1, 1000, NULL, 'reserved', '', 1795860839505790, '2026-11-28', '2026-11', 'frozen-host:25407:1795860838.22', ''),
	('job-e3b0c442-000000000000000000000000000000d2.0.0', 'vendor', 'model', 1, 1000, NULL, 'submitted', '', 1795860839521045, '2026-11-28', '2026-11', 'frozen-host:25407:1795860838.22', ''),
	('job-e3b0c442-000000000000000000000000000000d3.0.0', 'vendor', 'model', 1, 1000, NULL, 'submitted', '', 1795860839554164, '2026-11-28', '2026-11', 'frozen-host:25407:1795860838.22', ''),
	('job-e3b0c442-000000000000000000000000000000d4.0.0', 'vendor', 'model', 2, 2000, NULL, 'submitted', 'remote-d47f09e4ae1b', 1795860839601548, '2026-11-28', '2026-11', 'frozen-host:25407:1795860838.22', ''),
	('batch-bb7fed7c3388-3.1.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-2891bc0b5ff1', 1795860841728148, '2026-11-28', '2026-11', 'frozen-host:25387:1795860837.59', ''),
	('batch-bb7fed7c3388-3.2.0.0', 'vendor', 'model', 1, 1000, 1000, 'settled', 'remote-8f074d571a3d', 1795860841737470, '2026-11-28', '2026-11', 'frozen-host:25387:1795860837.59', '');


--
-- Data for Name: lines_1_devices; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.lines_1_devices VALUES
	('frozen-host/gpu', 'model', 7),
	('frozen-host/gpu-2', 'model', 2),
	('frozen-host/gpu-3', 'model', 2);


--
-- Data for Name: lines_1_executors; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.lines_1_executors VALUES
	('frozen-host-2000000beef-487749/0/0000000000000000', 1795860837478512),
	('frozen-host-2000000beef-487749/5/6000000000000001', 1795860842377390),
	('frozen-host-2000000beef-487749/3/4000000000000000', 1795860842502313),
	('frozen-host-2000000beef-487749/4/3000000000000000', 1795860842547759),
	('frozen-host-2000000beef-487749/1/2000000000000000', 1795860842623532),
	('frozen-host-2000000beef-487749/2/1000000000000000', 1795860842705192),
	('frozen-host-2000000beef-487749/0/5000000000000000', 1795860842940603);


--
-- Data for Name: lines_1_requests; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.lines_1_requests VALUES
	('', 'repeat-me', 'job-e3b0c442-000000000000000000000000000000f1', '26c184acabb6ae4fb4c1528a', 1795860837538372);


--
-- Data for Name: lines_1_turns; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.lines_1_turns VALUES
	('job-e3b0c442-000000000000000000000000000000d4', 'frozen-host-2000000beef-487749/2/1000000000000000', '', '', 10, 0, 1795860839564826, 'preparing', 0, false, 0.495, 'being made'),
	('job-e3b0c442-000000000000000000000000000000d5', 'frozen-host-2000000beef-487749/2/1000000000000000', '', '', 10, 0, 1795860839596981, 'preparing', 0, false, 0.98, 'saving'),
	('job-e3b0c442-000000000000000000000000000000c2', 'frozen-host-2000000beef-487749/1/2000000000000000', 'frozen-host/gpu', 'model', 10, 0.04057600462601962, 1795860839271331, 'running', 1795860839313629, false, 0.495, 'halfway'),
	('job-e3b0c442-000000000000000000000000000000d1', 'frozen-host-2000000beef-487749/2/1000000000000000', '', '', 10, 0, 1795860839314144, 'preparing', 0, false, 0.02, 'vendor: model'),
	('job-e3b0c442-000000000000000000000000000000d2', 'frozen-host-2000000beef-487749/2/1000000000000000', '', '', 10, 0, 1795860839338492, 'preparing', 0, false, 0.02, 'sent to vendor'),
	('job-e3b0c442-000000000000000000000000000000d3', 'frozen-host-2000000beef-487749/2/1000000000000000', '', '', 10, 0, 1795860839510345, 'preparing', 0, false, 0.02, 'sent to vendor'),
	('job-e3b0c442-000000000000000000000000000000e1', 'frozen-host-2000000beef-487749/3/4000000000000000', 'frozen-host/gpu-2', 'model', 10, 0.02028800231300981, 1795860840207421, 'running', 1795860840381755, false, 0.495, 'halfway'),
	('job-e3b0c442-000000000000000000000000000000c1', 'frozen-host-2000000beef-487749/4/3000000000000000', 'frozen-host/gpu', 'model', 10, 0.02028800231300981, 1795860840257712, 'waiting', 0, false, 0, 'waiting for gpu'),
	('batch-bb7fed7c3388-4', 'frozen-host-2000000beef-487749/0/5000000000000000', 'frozen-host/gpu-3', 'model', 0, 0.02028800231300981, 1795860842072054, 'running', 1795860842085190, false, 0.495, 'halfway');


--
-- Data for Name: meta; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.meta VALUES
	(1);


--
-- Name: application_versions application_versions_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.application_versions
    ADD CONSTRAINT application_versions_pkey PRIMARY KEY (version_id);


--
-- Name: application_versions application_versions_version_name_key; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.application_versions
    ADD CONSTRAINT application_versions_version_name_key UNIQUE (version_name);


--
-- Name: dbos_migrations dbos_migrations_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.dbos_migrations
    ADD CONSTRAINT dbos_migrations_pkey PRIMARY KEY (version);


--
-- Name: event_dispatch_kv event_dispatch_kv_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.event_dispatch_kv
    ADD CONSTRAINT event_dispatch_kv_pkey PRIMARY KEY (service_name, workflow_fn_name, key);


--
-- Name: notifications notifications_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (message_uuid);


--
-- Name: operation_outputs operation_outputs_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.operation_outputs
    ADD CONSTRAINT operation_outputs_pkey PRIMARY KEY (workflow_uuid, function_id);


--
-- Name: queues queues_name_key; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.queues
    ADD CONSTRAINT queues_name_key UNIQUE (name);


--
-- Name: queues queues_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (queue_id);


--
-- Name: streams streams_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.streams
    ADD CONSTRAINT streams_pkey PRIMARY KEY (workflow_uuid, key, "offset");


--
-- Name: workflow_events_history workflow_events_history_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_events_history
    ADD CONSTRAINT workflow_events_history_pkey PRIMARY KEY (workflow_uuid, function_id, key);


--
-- Name: workflow_events workflow_events_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_events
    ADD CONSTRAINT workflow_events_pkey PRIMARY KEY (workflow_uuid, key);


--
-- Name: workflow_input workflow_input_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_input
    ADD CONSTRAINT workflow_input_pkey PRIMARY KEY (workflow_uuid);


--
-- Name: workflow_output workflow_output_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_output
    ADD CONSTRAINT workflow_output_pkey PRIMARY KEY (workflow_uuid);


--
-- Name: workflow_schedules workflow_schedules_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_schedules
    ADD CONSTRAINT workflow_schedules_pkey PRIMARY KEY (schedule_id);


--
-- Name: workflow_schedules workflow_schedules_schedule_name_key; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_schedules
    ADD CONSTRAINT workflow_schedules_schedule_name_key UNIQUE (schedule_name);


--
-- Name: workflow_status workflow_status_pkey; Type: CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_status
    ADD CONSTRAINT workflow_status_pkey PRIMARY KEY (workflow_uuid);


--
-- Name: experience_1_breakers experience_1_breakers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.experience_1_breakers
    ADD CONSTRAINT experience_1_breakers_pkey PRIMARY KEY (provider, model);


--
-- Name: experience_1_latencies experience_1_latencies_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.experience_1_latencies
    ADD CONSTRAINT experience_1_latencies_pkey PRIMARY KEY (provider, model, bucket);


--
-- Name: experience_1_results experience_1_results_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.experience_1_results
    ADD CONSTRAINT experience_1_results_pkey PRIMARY KEY (key);


--
-- Name: holds holds_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (id);


--
-- Name: lines_1_devices lines_1_devices_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lines_1_devices
    ADD CONSTRAINT lines_1_devices_pkey PRIMARY KEY (device);


--
-- Name: lines_1_executors lines_1_executors_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lines_1_executors
    ADD CONSTRAINT lines_1_executors_pkey PRIMARY KEY (id);


--
-- Name: lines_1_requests lines_1_requests_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lines_1_requests
    ADD CONSTRAINT lines_1_requests_pkey PRIMARY KEY (caller, request_id);


--
-- Name: lines_1_turns lines_1_turns_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lines_1_turns
    ADD CONSTRAINT lines_1_turns_pkey PRIMARY KEY (job_id);


--
-- Name: meta meta_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (version);


--
-- Name: idx_application_versions_owner_timestamp; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_application_versions_owner_timestamp ON dbos.application_versions USING btree (application_name, version_timestamp DESC);


--
-- Name: idx_application_versions_timestamp; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_application_versions_timestamp ON dbos.application_versions USING btree (version_timestamp DESC);


--
-- Name: idx_operation_outputs_completed_at_function_name_v2; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_operation_outputs_completed_at_function_name_v2 ON dbos.operation_outputs USING btree (completed_at_epoch_ms, function_name) INCLUDE (application_name);


--
-- Name: idx_operation_outputs_retention; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_operation_outputs_retention ON dbos.operation_outputs USING btree (retention_timestamp);


--
-- Name: idx_workflow_input_retention; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_input_retention ON dbos.workflow_input USING btree (retention_timestamp);


--
-- Name: idx_workflow_output_retention; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_output_retention ON dbos.workflow_output USING btree (retention_timestamp);


--
-- Name: idx_workflow_status_attributes; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_attributes ON dbos.workflow_status USING gin (attributes) WHERE (attributes IS NOT NULL);


--
-- Name: idx_workflow_status_completed_at; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_completed_at ON dbos.workflow_status USING btree (completed_at) WHERE (completed_at IS NOT NULL);


--
-- Name: idx_workflow_status_deadline; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_deadline ON dbos.workflow_status USING btree (workflow_deadline_epoch_ms) WHERE ((status = ANY (ARRAY['ENQUEUED'::text, 'PENDING'::text, 'DELAYED'::text])) AND (workflow_deadline_epoch_ms IS NOT NULL));


--
-- Name: idx_workflow_status_delayed; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_delayed ON dbos.workflow_status USING btree (delay_until_epoch_ms) WHERE (status = 'DELAYED'::text);


--
-- Name: idx_workflow_status_failed; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_failed ON dbos.workflow_status USING btree (status, created_at) WHERE (status = ANY (ARRAY['ERROR'::text, 'CANCELLED'::text, 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'::text]));


--
-- Name: idx_workflow_status_forked_from; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_forked_from ON dbos.workflow_status USING btree (forked_from) WHERE (forked_from IS NOT NULL);


--
-- Name: idx_workflow_status_in_flight_v2; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_in_flight_v2 ON dbos.workflow_status USING btree (queue_name, status, priority, created_at) INCLUDE (application_name) WHERE (status = ANY (ARRAY['ENQUEUED'::text, 'PENDING'::text]));


--
-- Name: idx_workflow_status_parent_workflow_id; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_parent_workflow_id ON dbos.workflow_status USING btree (parent_workflow_id) WHERE (parent_workflow_id IS NOT NULL);


--
-- Name: idx_workflow_status_partition_dequeue_v3; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_partition_dequeue_v3 ON dbos.workflow_status USING btree (queue_name, status, queue_partition_key, priority, created_at, workflow_uuid) INCLUDE (application_name) WHERE ((status = ANY (ARRAY['ENQUEUED'::text, 'PENDING'::text])) AND (queue_partition_key IS NOT NULL));


--
-- Name: idx_workflow_status_pending; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_pending ON dbos.workflow_status USING btree (created_at) WHERE (status = 'PENDING'::text);


--
-- Name: idx_workflow_status_rate_limited; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_rate_limited ON dbos.workflow_status USING btree (queue_name, started_at_epoch_ms) WHERE (rate_limited = true);


--
-- Name: idx_workflow_status_schedule_name; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_schedule_name ON dbos.workflow_status USING btree (schedule_name) WHERE (schedule_name IS NOT NULL);


--
-- Name: idx_workflow_status_started_at; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_status_started_at ON dbos.workflow_status USING btree (started_at_epoch_ms) WHERE (started_at_epoch_ms IS NOT NULL);


--
-- Name: idx_workflow_topic; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX idx_workflow_topic ON dbos.notifications USING btree (destination_uuid, topic);


--
-- Name: uq_application_versions_owner_version; Type: INDEX; Schema: dbos; Owner: -
--

CREATE UNIQUE INDEX uq_application_versions_owner_version ON dbos.application_versions USING btree (application_name, version_name) WHERE (application_name IS NOT NULL);


--
-- Name: uq_application_versions_unclaimed_version; Type: INDEX; Schema: dbos; Owner: -
--

CREATE UNIQUE INDEX uq_application_versions_unclaimed_version ON dbos.application_versions USING btree (version_name) WHERE (application_name IS NULL);


--
-- Name: uq_workflow_status_dedup_id; Type: INDEX; Schema: dbos; Owner: -
--

CREATE UNIQUE INDEX uq_workflow_status_dedup_id ON dbos.workflow_status USING btree (queue_name, deduplication_id) WHERE (deduplication_id IS NOT NULL);


--
-- Name: workflow_status_created_at_index; Type: INDEX; Schema: dbos; Owner: -
--

CREATE INDEX workflow_status_created_at_index ON dbos.workflow_status USING btree (created_at);


--
-- Name: ix_experience_1_results_made; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_experience_1_results_made ON public.experience_1_results USING btree (made);


--
-- Name: ix_holds_month; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_holds_month ON public.holds USING btree (month);


--
-- Name: ix_holds_state; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_holds_state ON public.holds USING btree (state);


--
-- Name: ix_lines_1_requests_made; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_lines_1_requests_made ON public.lines_1_requests USING btree (made);


--
-- Name: ix_lines_1_turns_device; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_lines_1_turns_device ON public.lines_1_turns USING btree (device);


--
-- Name: ix_lines_1_turns_executor; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_lines_1_turns_executor ON public.lines_1_turns USING btree (executor);


--
-- Name: notifications dbos_notifications_trigger; Type: TRIGGER; Schema: dbos; Owner: -
--

CREATE TRIGGER dbos_notifications_trigger AFTER INSERT ON dbos.notifications FOR EACH ROW EXECUTE FUNCTION dbos.notifications_function();


--
-- Name: notifications notifications_destination_uuid_fkey; Type: FK CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.notifications
    ADD CONSTRAINT notifications_destination_uuid_fkey FOREIGN KEY (destination_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: streams streams_workflow_uuid_fkey; Type: FK CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.streams
    ADD CONSTRAINT streams_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: workflow_events_history workflow_events_history_workflow_uuid_fkey; Type: FK CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_events_history
    ADD CONSTRAINT workflow_events_history_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: workflow_events workflow_events_workflow_uuid_fkey; Type: FK CONSTRAINT; Schema: dbos; Owner: -
--

ALTER TABLE ONLY dbos.workflow_events
    ADD CONSTRAINT workflow_events_workflow_uuid_fkey FOREIGN KEY (workflow_uuid) REFERENCES dbos.workflow_status(workflow_uuid) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--


