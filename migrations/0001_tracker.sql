-- What the tracker keeps: the whitelist, the access keys, the counts of completed downloads.
--
-- Names are not qualified: everything lives in the first schema of the connection's search_path,
-- which a connection string can choose ("options=-csearch_path=rookery").
--
-- Every statement that changes whitelist or access_keys, whoever runs it, is announced to all
-- Rookery servers on this database: NOTIFY rookery_whitelist / rookery_keys, the payload being the
-- hashes (hex) or keys that changed, comma-separated, or "reload" when they are too many for a
-- payload (8,000 bytes). Listeners read these rows again, so a notification says only "look here".

CREATE TABLE whitelist (
    info_hash bytea PRIMARY KEY CHECK (octet_length(info_hash) = 20),
    added_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access_keys (
    key          text PRIMARY KEY CHECK (key ~ '^[A-Za-z0-9]{32}$'),
    label        text NOT NULL DEFAULT '' CHECK (octet_length(label) <= 64),
    created_at   timestamptz NOT NULL DEFAULT now() CHECK (isfinite(created_at)),
    expires_at   timestamptz CHECK (isfinite(expires_at)),    -- NULL: never
    last_used_at timestamptz CHECK (isfinite(last_used_at))   -- NULL: never used
);

CREATE TABLE completed_counts (
    info_hash bytea PRIMARY KEY CHECK (octet_length(info_hash) = 20),
    completed bigint NOT NULL CHECK (completed BETWEEN 0 AND 4294967295)
);

-- The last batch of counts that each running server has added, so that a batch whose answer was
-- lost can be sent again without being counted twice. A server takes a new name at every start.
CREATE TABLE completed_batches (
    server  text PRIMARY KEY,
    batch   bigint NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION rookery_notify(channel text, items text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(items) > 150 THEN
        PERFORM pg_notify(channel, 'reload');
    ELSIF cardinality(items) > 0 THEN
        PERFORM pg_notify(channel, array_to_string(items, ','));
    END IF;
END
$$;

CREATE FUNCTION rookery_whitelist_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    items text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('rookery_whitelist', 'reload');
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(encode(c.info_hash, 'hex')) INTO items
          FROM (SELECT info_hash FROM old_rows UNION SELECT info_hash FROM new_rows LIMIT 151) c;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(encode(c.info_hash, 'hex')) INTO items
          FROM (SELECT info_hash FROM old_rows LIMIT 151) c;
    ELSE
        SELECT array_agg(encode(c.info_hash, 'hex')) INTO items
          FROM (SELECT info_hash FROM new_rows LIMIT 151) c;
    END IF;
    PERFORM rookery_notify('rookery_whitelist', items);
    RETURN NULL;
END
$$;

-- A new last_used_at alone is no news: every server writes its own every few seconds.
CREATE FUNCTION rookery_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    items text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('rookery_keys', 'reload');
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(DISTINCT c.key) INTO items
          FROM ((SELECT key, label, created_at, expires_at FROM old_rows
                 EXCEPT SELECT key, label, created_at, expires_at FROM new_rows)
                UNION ALL
                (SELECT key, label, created_at, expires_at FROM new_rows
                 EXCEPT SELECT key, label, created_at, expires_at FROM old_rows)
                LIMIT 302) c;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(c.key) INTO items FROM (SELECT key FROM old_rows LIMIT 151) c;
    ELSE
        SELECT array_agg(c.key) INTO items FROM (SELECT key FROM new_rows LIMIT 151) c;
    END IF;
    PERFORM rookery_notify('rookery_keys', items);
    RETURN NULL;
END
$$;

CREATE TRIGGER rookery_inserted AFTER INSERT ON whitelist
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_whitelist_changed();
CREATE TRIGGER rookery_updated AFTER UPDATE ON whitelist
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_whitelist_changed();
CREATE TRIGGER rookery_deleted AFTER DELETE ON whitelist
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_whitelist_changed();
CREATE TRIGGER rookery_truncated AFTER TRUNCATE ON whitelist
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_whitelist_changed();

CREATE TRIGGER rookery_inserted AFTER INSERT ON access_keys
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_keys_changed();
CREATE TRIGGER rookery_updated AFTER UPDATE ON access_keys
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_keys_changed();
CREATE TRIGGER rookery_deleted AFTER DELETE ON access_keys
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_keys_changed();
CREATE TRIGGER rookery_truncated AFTER TRUNCATE ON access_keys
    FOR EACH STATEMENT EXECUTE FUNCTION rookery_keys_changed();
