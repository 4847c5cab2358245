-- node_large: the large contents that are to be placed, in the words of mirror/measure.py. What has come of them lies in
-- `.relay/parts`.
CREATE INDEX node_large ON node (r_digest) WHERE r_revision IS NOT b_revision AND r_size > 1048576;
