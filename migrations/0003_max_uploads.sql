-- How many peers may download from a torrent at the same time.

ALTER TABLE torrents ADD COLUMN max_uploads bigint NOT NULL DEFAULT 0 -- 0: none of its own
    CHECK (max_uploads BETWEEN 0 AND 4294967295);
