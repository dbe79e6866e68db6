-- expected: applied
ALTER TABLE "member" ADD CONSTRAINT "member_country_fkey" FOREIGN KEY ("country") REFERENCES "country" ("code") DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX "member_country_like" ON "member" ("country" bpchar_pattern_ops);
