-- node_content: where a content lies on this disk already (mirror/twins.py). Smaller ones come with the log.
CREATE INDEX node_content ON node (l_digest) WHERE l_size > 65536;
