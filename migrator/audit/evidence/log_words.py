"""The words in which a PostgreSQL server logs: levels, and how a statement and its duration begin.

A server writes its log in the language of lc_messages; the words are those of PostgreSQL's own translations. What an
extension logs (auto_explain, pgaudit) is not translated.
"""

from __future__ import annotations

import re

LOG = frozenset(re.findall(r"\w+", "LOG LOGG СООБЩЕНИЕ ЗАПИСУВАННЯ ჟურნალი 로그 日志 日誌 DZIENNIK"))
"""The level of everything about statements that ran, as lc_messages has it."""

OTHER_LEVELS = frozenset(
    re.findall(
        r"\w+",
        "ERROR FATAL PANIC WARNING NOTICE INFO DEBUG DEBUG1 DEBUG2 DEBUG3 DEBUG4 DEBUG5 DETAIL HINT STATEMENT CONTEXT "
        "QUERY LOCATION "
        "FEHLER PANIK WARNUNG HINWEIS TIPP ANWEISUNG ZUSAMMENHANG ANFRAGE ORT "
        "DETALLE SENTENCIA CONTEXTO CONSULTA UBICACIÓN SUGERENCIA ADVERTENCIA "
        "ERREUR DÉTAIL ASTUCE INSTRUCTION CONTEXTE REQUÊTE ATTENTION EMPLACEMENT "
        "ERRORE DETTAGLI SUGGERIMENTO ISTRUZIONE CONTESTO ATTENZIONE FATALE NOTIFICA PANICO POSIZIONE "
        "ERRO DETALHE DICA COMANDO AVISO CONSULTA LOCAL BŁĄD SZCZEGÓŁY PODPOWIEDŹ WYRAŻENIE KONTEKST OSTRZEŻENIE "
        "HATA DETAY İPUCU AYRINTI İFADE UYARI "
        "詳細 ヒント 文 文脈 問い合わせ 場所 "
        "შეცდომა დეტალები მინიშნება ოპერატორი კონტექსტი მოთხოვნა გაფრთხილება ფატალური ინფორმაცია პანიკა გამართვა "
        "მდებარეობა 오류 상세정보 힌트 구문 내용 쿼리 경고 치명적오류 알림 정보 손상 디버그 위치 "
        "ОШИБКА ПОДРОБНОСТИ ПОДСКАЗКА ОПЕРАТОР КОНТЕКСТ ЗАПРОС ПРЕДУПРЕЖДЕНИЕ ВАЖНО ЗАМЕЧАНИЕ ИНФОРМАЦИЯ ПАНИКА "
        "ОТЛАДКА ПОЛОЖЕНИЕ "
        "FEL DETALJ TIPS SATS KONTEXT FRÅGA VARNING FATALT NOTIS PLATS "
        "ПОМИЛКА ВІДОМОСТІ УКАЗІВКА ІНСТРУКЦІЯ ЗАПИТ ПОПЕРЕДЖЕННЯ ФАТАЛЬНО ПОВІДОМЛЕННЯ ІНФОРМАЦІЯ ПАНІКА "
        "НАЛАГОДЖЕННЯ РОЗТАШУВАННЯ "
        "错误 详情 提示 语句 上下文 查询 位置 警告 致命错误 注意 信息 灾难性错误 调试 "
        "錯誤 詳情 陳述式 查詢 致命錯誤 資訊 嚴重錯誤 除錯",
    )
)
"""The levels of everything else, and of the lines that belong to a record (DETAIL, STATEMENT, …)."""

_LEVEL = re.compile(r"(?<!\w)([^\W_]\w*) ?:  (?:(?=[A-Z]{0,4}\d)[0-9A-Z]{5}: (?=\S))?")
"""With the SQLSTATE that log_error_verbosity = verbose writes before every message."""
_NARROW = re.compile(
    r"(?<!\w)(LOG): (?=duration: \d|statement: |execute [^:\s]+: )|(?<!\w)(DETAIL): (?=[Pp]arameters: \$1 = )"
)
"""As collectors leave it that write several spaces as one; only before words that tell a statement."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")


def begins(line: str) -> tuple[str, str, str] | None:
    """Return the prefix, the level and the message of a line of a log in text form; None when it begins no record.

    A level in words that are not known here is told by the time at the line's beginning.
    """
    narrow = _NARROW.search(line)
    if narrow is not None and _LEVEL.search(line, 0, narrow.end() + 1) is None:
        return line[: narrow.start()], narrow[1] or narrow[2], line[narrow.end() :]
    first = None
    for match in _LEVEL.finditer(line):
        if match[1] in LOG or match[1] in OTHER_LEVELS:
            return line[: match.start()], match[1], line[match.end() :]
        first = first or match
    if first is not None and _TIME.match(line) and not first[1].isdecimal():
        return line[: first.start()], first[1], line[first.end() :]
    return None


_DURATION = (
    "duration|Dauer|duración|durée|durata|duração|czas trwania|süre|期間|ხანგრძლივობა|실행시간|수행시간"
    "|продолжительность|varaktighet|тривалість|耗时|持續時間"
)
_UNIT = "ms|мс|ミリ秒|毫秒|მწმs?"
_STATEMENT = (
    "statement|Anweisung|sentencia|instruction|istruzione|comando|wyrażenie|ifade|文|ოპერატორი|გამოსახულება|명령 구문"
    "|оператор|sats|语句|陳述式"
)
_EXECUTE = (
    "execute|Ausführen|ejecutar|exécute|esecuzione di|executar|wykonanie|çalıştır|実行|取り出し実行|გაშვება|쿼리실행"
    "|자료뽑기|выполнение|выборка из|kör|виконувати|виконати витягнення з|执行|執行"
)
_PART = (
    "parse|bind|fastpath function call|Parsen|Binden|Fastpath-Funktionsaufruf|llamada a función fastpath|analyse|lien"
    "|appel de fonction fastpath|analisi di|chiamata funzione fastpath|パース|バインド|近道関数呼び出し|მიბმა"
    r"|[^:\s]*\s?დამუშავება|[^:]*구문분석|[^:]*접속|fastpath 함수 호출"
    r"|разбор|сообщение Bind|вызов функции \(через fastpath\)"
    "|fastpath funktionsanrop|аналізування|повідомлення bind|виклик функції fastpath|解析|绑定|繫結"
    "|fastpath 函数调用|快速路徑函式呼叫"
)
MESSAGE = re.compile(
    rf"^(?:(?:{_DURATION}) ?:? (?P<ms>\d+(?:\.\d+)?) (?:{_UNIT})(?!\w))?,?\s*"
    rf"(?:(?:(?P<run>{_STATEMENT}|{_EXECUTE})|(?P<part>{_PART}))(?P<name>(?:\s|(?<=[パース実行]))[^:]*?)?"
    r" ?: (?P<sql>.*))?$",
    re.DOTALL,
)
"""What a server says of a statement: its duration, its text, or both; `part` is one step of an execution."""

FOREIGN = re.compile(
    r"^[^:\n]{2,30}?:? \d+\.\d{3} \S{1,6}(?:,|\s)\s*[^:\n]{2,40}?: ?(?:select|insert|update|delete|with|merge)\b",
    re.IGNORECASE,
)
"""A statement with its duration in words that are not known here."""
