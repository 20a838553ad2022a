<?php

/*
 * Tells the integration bus of every saved and deleted order.
 *
 * In the buyer's request one row is written to the outbox, nothing is sent: the bus may be slow or away, and no checkout
 * waits for it. After the answer has gone out a background job sends the row; an agent sends again what was not taken.
 */

use Bitrix\Main\EventManager;

require_once __DIR__ . '/outboxtable.php';
require_once __DIR__ . '/ordertold.php';
require_once __DIR__ . '/signature.php';
require_once __DIR__ . '/outbox.php';

$events = EventManager::getInstance();
$events->addEventHandler('sale', 'OnSaleOrderSaved', ['IntegrationBus\Outbox', 'orderSaved'], false, 999);
$events->addEventHandler('sale', 'OnSaleOrderDeleted', ['IntegrationBus\Outbox', 'orderDeleted'], false, 999);
