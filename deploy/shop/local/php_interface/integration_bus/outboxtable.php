<?php

namespace IntegrationBus;

use Bitrix\Main\ORM\Data\DataManager;
use Bitrix\Main\ORM\Fields\DatetimeField;
use Bitrix\Main\ORM\Fields\IntegerField;
use Bitrix\Main\ORM\Fields\StringField;

/**
 * What the bus has to be told of. A row names an order and holds none of its data: the order is read when it is sent,
 * so that what goes out is always its present state.
 */
class OutboxTable extends DataManager
{
    public static function getTableName()
    {
        return 'local_integration_bus_outbox';
    }

    public static function getMap()
    {
        return [
            new IntegerField('ID', ['primary' => true, 'autocomplete' => true]),
            new StringField('MESSAGE_ID', ['required' => true, 'size' => 36]),
            new StringField('EVENT', ['required' => true, 'size' => 20]),
            new IntegerField('ORDER_ID', ['required' => true]),
            new IntegerField('USER_ID'),
            new DatetimeField('OCCURRED_AT', ['required' => true]),
            new DatetimeField('NEXT_AT', ['required' => true]),
            new IntegerField('ATTEMPTS', ['required' => true]),
        ];
    }
}
