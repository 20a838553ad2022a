"""The interface's refusals: 1C's own codes, each with the HTTP status it comes with, in JSON or in Atom."""

from __future__ import annotations

from xml.sax.saxutils import escape

from bus.sandbox.envelope import RestError, Row

DATA_SERVICES = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


def not_supported(what: str) -> RestError:
    return RestError("0", f"Не поддерживается: {what}", 501)


def bad_text(name: str, value: object) -> RestError:
    """Code 1: a text that cannot be read as its type; the answer echoes it."""
    return RestError("1", f"Ошибка разбора строки: {name}: {value}", 400)


def bad_value(name: str, value: object) -> RestError:
    return RestError("4", f"Неверное значение: {name}: {value}", 400)


def missing(what: str) -> RestError:
    return RestError("5", f"Не задан обязательный параметр: {what}", 400)


def no_segment(segment: str) -> RestError:
    return RestError("6", f"Сегмент адреса или метод не найден: {segment}", 404)


def bad_key(name: str) -> RestError:
    return RestError("7", f"Неполный ключ сущности: {name}", 400)


def no_type(name: str) -> RestError:
    return RestError("8", f"Тип не найден: {name}", 400)


def no_entity(name: str, key: str) -> RestError:
    return RestError("9", f"Экземпляр сущности не найден: {name} {key}", 404)


def no_property(name: str) -> RestError:
    return RestError("10", f"Свойство не найдено: {name}", 400)


def no_method(name: str) -> RestError:
    return RestError("11", f"Метод не найден: {name}", 404)


def bad_argument(function: str) -> RestError:
    return RestError("12", f"Неверные аргументы функции: {function}", 400)


def tabular(name: str) -> RestError:
    return RestError("13", f"Строка табличной части не может использоваться самостоятельно: {name}", 400)


def bad_option(option: str, why: str) -> RestError:
    return RestError("14", f"Ошибка разбора параметра {option}: {why}", 400)


def exists(name: str) -> RestError:
    return RestError("15", f"Объект с таким ключом уже существует: {name}", 400)


def forbidden_verb(verb: str) -> RestError:
    return RestError("19", f"Метод HTTP не разрешен: {verb}", 405)


def no_rights(name: str) -> RestError:
    return RestError("20", f"Недостаточно прав: {name}", 401)


def not_implemented(function: str) -> RestError:
    return RestError("21", f"Функция не реализована: {function}", 400)


def internal(text: str) -> RestError:
    """Code -1: whatever the platform or the configuration threw."""
    return RestError("-1", text, 500)


def stale() -> RestError:
    return RestError("-1", "Версия объекта не совпадает с If-Match", 412)


def as_json(error: RestError) -> Row:
    return {"odata.error": {"code": str(error.code), "message": {"lang": "ru", "value": error.text}}}


def as_xml(error: RestError) -> str:
    said = f'<m:code>{escape(str(error.code))}</m:code><m:message xml:lang="ru">{escape(error.text)}</m:message>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<m:error xmlns:m="{DATA_SERVICES}">{said}</m:error>'
