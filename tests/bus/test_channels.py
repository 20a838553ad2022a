from bus import channels
from bus.envelope import EVENT_TYPES, parse


def test_every_event_type_travels_on_a_channel_with_a_queue_and_a_task() -> None:
    queues = channels.queues(["shop", "crm"])
    for name in EVENT_TYPES:
        head = name.partition(".")[0]
        event = parse({"source": "shop", "type": f"{head}.deleted", "subject": f"{head}/1"})
        assert event.channel in queues
        assert channels.apply_task(event.channel) == f"{event.channel}.apply"


def test_each_system_has_a_lane_and_a_payments_lane_and_no_name_is_used_twice() -> None:
    queues = channels.queues(["shop", "crm", "crm-eu"])
    assert {"lane.crm", "lane.crm.payments", "lane.crm-eu", "lane.crm-eu.payments"} <= set(queues)
    assert len(queues) == len(set(queues))


def test_payments_come_first() -> None:
    assert channels.queues([])[0] == "payments"
    assert channels.URGENT < channels.NORMAL < channels.BULK
