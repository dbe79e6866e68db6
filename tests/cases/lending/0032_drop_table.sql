-- expected: applied
DROP TABLE "Review";
