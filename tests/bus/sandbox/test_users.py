from bus.sandbox.bitrix24 import Portal


def test_users_come_in_pages_of_fifty(crm):
    people = [{"ID": 100 + number, "NAME": f"P{number}", "EMAIL": f"p{number}@example.com"} for number in range(60)]
    crm.control("POST", "settings", {"users": people})
    first = crm.rest("user.get", {}).json()
    assert (len(first["result"]), first["next"], first["total"]) == (50, 50, 65)
    assert len(crm.result("user.get", {"start": 50})) == 15
    assert first["result"][0] | {"ID": "1", "ACTIVE": True, "UF_DEPARTMENT": [1]} == first["result"][0]


def test_users_are_filtered(crm):
    def found(**said):
        return [row["ID"] for row in crm.result("user.get", said)]

    assert found(filter={"ACTIVE": True}, sort="ID", order="DESC")[0] == "9"
    assert found(FILTER={"ACTIVE": "false"}) == ["11"]
    assert found(EMAIL="petrov@example.com") == ["7"]
    assert found(filter={"NAME": "Iv%"}) == ["7"]
    assert found(filter={"@ID": [1, 9]}) == ["1", "9"]
    assert found(filter={"UF_DEPARTMENT": 3, "ACTIVE": "Y"}) == ["7", "9"]
    assert found(filter={"!%LAST_NAME": "ov", "ID": [7, 11]}) == ["11"]


def test_a_dismissed_user_is_still_there(crm):
    crm.control("POST", "settings", {"users": [{"ID": 9, "ACTIVE": False}]})
    gone = crm.result("user.get", {"ID": 9})[0]
    assert (gone["ACTIVE"], gone["LAST_NAME"]) == (False, "Smirnova")
    assert [row["ACTIVE"] for row in crm.control("GET", "state")["users"] if row["ID"] == 9] == ["N"]


def test_the_hooks_user_knows_himself(crm):
    assert crm.result("user.current")["NAME"] == "Bus"
    assert Portal(user=42).call("user.current")["ID"] == "42"


def test_departments_hang_on_the_company(crm):
    listed = crm.rest("department.get", {"sort": "NAME", "order": "DESC", "PARENT": 1}).json()
    assert [(row["ID"], row["SORT"], row["PARENT"]) for row in listed["result"]] == [("3", 500, "1"), ("2", 500, "1")]
    assert listed["total"] == 2
    assert "PARENT" not in crm.result("department.get", {"ID": 1})[0]


def test_reference_lists_stand_beside_the_stages(crm):
    types = crm.result("crm.status.list", {"filter": {"ENTITY_ID": "COMPANY_TYPE"}})
    assert [row["STATUS_ID"] for row in types] == ["CUSTOMER", "SUPPLIER", "PARTNER", "OTHER"]
