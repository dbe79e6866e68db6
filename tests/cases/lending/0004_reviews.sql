-- expected: applied
CREATE TABLE "Review" (
    "id" SERIAL NOT NULL,
    "titleId" BIGINT NOT NULL,
    "stars" INTEGER NOT NULL DEFAULT 3,
    "body" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Review_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "Review_titleId_idx" ON "Review"("titleId");

-- AddForeignKey
ALTER TABLE "Review" ADD CONSTRAINT "Review_titleId_fkey" FOREIGN KEY ("titleId") REFERENCES "title"("id") ON DELETE CASCADE ON UPDATE CASCADE;
