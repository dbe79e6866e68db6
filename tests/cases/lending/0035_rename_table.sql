-- expected: refused: CREATE VIEW
ALTER TABLE note RENAME TO remark;
