from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import BusError, NotReady, Permanent, SystemStopped, Transient, UnknownOutcome
from bus.systems.bitrix_errors import CODES, Duplicate, NotFound, Refusal, error_of

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def made_of(code: str, text: str = "", status: int = 400, *, inner: bool = False, writes: bool = True) -> BusError:
    return error_of(Refusal("crm.item.update", code, text, status, inner), writes=writes, now=NOW)


@pytest.mark.parametrize(
    ("code", "text", "status", "expected"),
    [
        ("QUERY_LIMIT_EXCEEDED", "Too many requests", 503, NotReady),
        ("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429, NotReady),
        ("OVERLOAD_LIMIT", "REST API is blocked due to overload.", 503, SystemStopped),
        ("OVERLOAD_LIMIT", "REST API is blocked due to overload.", 401, SystemStopped),
        ("INTERNAL_SERVER_ERROR", "Internal server error", 500, UnknownOutcome),
        ("ERROR_UNEXPECTED_ANSWER", "Server returned an unexpected response", 500, UnknownOutcome),
        ("expired_token", "The access token provided has expired.", 401, SystemStopped),
        ("NO_AUTH_FOUND", "Wrong authorization data", 401, SystemStopped),
        ("invalid_token", "Unable to get application by token", 401, SystemStopped),
        ("WRONG_AUTH_TYPE", "Current authorization type is denied for this method", 403, SystemStopped),
        ("authorization_error", "Unable to authorize user", 401, SystemStopped),
        ("APPLICATION_NOT_FOUND", "Application not found", 401, SystemStopped),
        ("INVALID_CREDENTIALS", "Invalid request credentials", 401, SystemStopped),
        ("INVALID_CREDENTIALS", "Invalid request credentials", 403, SystemStopped),
        ("INVALID_REQUEST", "Https required.", 400, SystemStopped),
        ("ACCESS_DENIED", "REST is available only on commercial plans", 401, SystemStopped),
        ("ACCESS_DENIED", "REST API is available only by subscription", 400, SystemStopped),
        ("ACCESS_DENIED", "", 403, SystemStopped),
        ("ACCESS_DENIED", "Access denied", 400, Permanent),
        ("insufficient_scope", "The request requires higher privileges", 403, SystemStopped),
        ("insufficient_scope", "The request requires higher privileges", 401, SystemStopped),
        ("user_access_error", "The user does not have access to the application", 403, SystemStopped),
        ("allowed_only_intranet_user", "Action allowed only for intranet users", 403, SystemStopped),
        ("PORTAL_DELETED", "Portal was deleted", 500, SystemStopped),
        ("PORTAL_DELETED", "Portal was deleted", 403, SystemStopped),
        ("PORTAL_DELETED", "Portal was deleted", 410, SystemStopped),
        ("WRONG_LICENSE", "", 403, SystemStopped),
        ("PAYMENT_REQUIRED", "", 400, SystemStopped),
        ("METHOD_CONFIRM_WAITING", "Waiting for confirmation", 401, NotReady),
        ("METHOD_CONFIRM_DENIED", "Method call denied", 403, SystemStopped),
        ("CONNECTION_ERROR", "Error connecting to authorization server", 400, Transient),
        ("ERROR_METHOD_NOT_FOUND", "Method not found!", 404, Permanent),
        ("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", 405, Permanent),
        ("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", 400, Permanent),
        ("ERROR_MANIFEST_IS_NOT_AVAILABLE", "Manifest is not available", 404, Permanent),
        ("ERROR_ARGUMENT", "Wrong argument", 400, Permanent),
        ("WRONG_ENCODING", "Wrong encoding", 400, Permanent),
        ("ERROR_CORE", "Title is required", 400, Permanent),
        ("ERROR_CORE", "Not found", 400, NotFound),
        ("ERROR_CORE", "Mysql query error", 500, UnknownOutcome),
        ("", "Not found", 400, NotFound),
        ("", "Access denied.", 400, Permanent),
        ("", "ID is not defined or invalid.", 400, Permanent),
        ("", "Parameter 'fields' must be array.", 400, Permanent),
        ("", "У вас нет прав на смену стадии", 400, Permanent),
        ("0", "Required fields: lid", 400, Permanent),
        ("NOT_FOUND", "Element not found", 400, NotFound),
        ("NOT_FOUND", "SPA not found", 400, Permanent),
        ("OWNER_NOT_FOUND", "Owner was not found", 400, NotFound),
        ("INVALID_ARG_VALUE", "Invalid filter", 400, Permanent),
        ("CRM_FIELD_ERROR_VALUE_NOT_VALID", "Wrong value", 400, Permanent),
        ("CRM_FIELD_ERROR_REQUIRED", "Field is required", 400, Permanent),
        ("100", "Could not find value for parameter {id}", 400, Permanent),
        ("ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported", 400, Permanent),
        ("CREATE_DYNAMIC_ITEM_RESTRICTED", "", 400, Permanent),
        ("UPDATE_DYNAMIC_ITEM_RESTRICTED", "", 400, Permanent),
        ("200540400001", "order does not exist", 400, NotFound),
        ("200540400002", "module sale does not exist", 400, Permanent),
        ("200640400001", "payment is not exists", 400, NotFound),
        ("201240400001", "shipment does not exist", 400, NotFound),
        ("201640400004", "entity relation is not exists", 400, NotFound),
        ("201940400001", "another collection's", 400, NotFound),
        ("201650000001", "Duplicate entry for key", 400, Duplicate),
        ("200040300010", "Access Denied", 400, Permanent),
        ("200040300020", "Access Denied", 400, Permanent),
        ("Communication type is not defined", "", 400, Permanent),
        ("SOMETHING_NEW", "", 400, Permanent),
        ("SOMETHING_NEW", "", 401, SystemStopped),
        ("SOMETHING_NEW", "", 429, NotReady),
        ("BAD_GATEWAY", "The portal is down", 502, UnknownOutcome),
    ],
)
def test_an_error_becomes_the_one_that_says_what_happens_next(
    code: str, text: str, status: int, expected: type[BusError]
) -> None:
    assert type(made_of(code, text, status)) is expected


def test_every_line_of_the_table_tells_a_person_what_to_do() -> None:
    assert all(made_of(code.upper()).args[0].endswith(rule.say) and rule.say for code, rule in CODES.items())


@pytest.mark.parametrize("code", ["INTERNAL_SERVER_ERROR", "NEVER_HEARD_OF"])
def test_a_read_that_failed_on_their_side_is_simply_repeated(code: str) -> None:
    assert type(made_of(code, status=500, writes=False)) is Transient


def test_access_denied_inside_a_batch_is_about_one_record() -> None:
    assert type(made_of("ACCESS_DENIED", "Access denied", 200, inner=True)) is Permanent


@pytest.mark.parametrize("code", ["insufficient_scope", "METHOD_CONFIRM_DENIED"])
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("crm.item.list", SystemStopped),
        ("sale.statusLang.list", SystemStopped),
        ("batch", SystemStopped),
        ("profile", SystemStopped),
        ("server.time", SystemStopped),
        ("user.get", Permanent),
        ("tasks.task.add", Permanent),
    ],
)
def test_a_missing_scope_stops_a_system_only_where_nothing_goes_without_it(
    code: str, inner: bool, method: str, expected: type[BusError]
) -> None:
    refusal = Refusal(method, code, "", 200 if inner else 403, inner)
    assert type(error_of(refusal, writes=False, now=NOW)) is expected


@pytest.mark.parametrize("text", ["Access denied", "REST API is available only by subscription"])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("crm.item.list", SystemStopped),
        ("batch", SystemStopped),
        ("tasks.task.add", Permanent),
        ("user.get", Permanent),
    ],
)
def test_who_may_not_see_tasks_or_users_carries_orders_all_the_same(
    method: str, expected: type[BusError], text: str
) -> None:
    refusal = Refusal(method, "ACCESS_DENIED", text, 403)
    assert type(error_of(refusal, writes=True, now=NOW)) is expected


def test_an_unknown_code_inside_a_batch_is_permanent() -> None:
    assert type(made_of("SOMETHING_NEW", "", 200, inner=True)) is Permanent


def test_a_used_up_method_waits_until_its_window_drains_or_ten_minutes() -> None:
    refusal = Refusal("crm.item.list", "OPERATION_TIME_LIMIT", "", 429)
    known = error_of(refusal, writes=False, now=NOW, reset_at=NOW + timedelta(seconds=70))
    unknown = error_of(refusal, writes=False, now=NOW)
    assert isinstance(known, NotReady)
    assert isinstance(unknown, NotReady)
    assert known.until == NOW + timedelta(seconds=70)
    assert unknown.until == NOW + timedelta(minutes=10)


def test_a_stopped_system_is_tried_again_in_five_minutes() -> None:
    error = made_of("NO_AUTH_FOUND", "Wrong authorization data", 401)
    assert isinstance(error, SystemStopped)
    assert error.until == NOW + timedelta(minutes=5)
    assert "incoming webhook" in str(error)


def test_dead_letters_group_by_method_and_code() -> None:
    assert made_of("INVALID_ARG_VALUE", "field X").cause == "crm.item.update INVALID_ARG_VALUE"
    assert made_of("", "Access denied.").cause == "crm.item.update Access denied."


def test_phones_and_emails_of_persons_stay_out_of_messages() -> None:
    error = made_of("ERROR_CORE", "Contact +7 (999) 123-45-67 petrov@example.com exists")
    assert "999" not in str(error)
    assert "petrov" not in str(error)
