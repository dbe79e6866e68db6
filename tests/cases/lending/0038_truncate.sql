-- expected: refused: DELETE
TRUNCATE reservation;
