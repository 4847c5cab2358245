-- What a generation that is open is compared with, where its log was put back from a backup (core/restored.py).
--   before_epoch, before   the log as it was before, and how far it had been observed; '' when nothing was
--   known                  the last position of it that was seen again in this generation; NULL while nothing says
--                          that the log was put back
ALTER TABLE mirror ADD COLUMN before_epoch TEXT NOT NULL DEFAULT '';
ALTER TABLE mirror ADD COLUMN before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mirror ADD COLUMN known INTEGER;
