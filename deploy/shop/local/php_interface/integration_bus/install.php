<?php

/*
 * Run once, from the shop's root, as the web server's user: php local/php_interface/integration_bus/install.php
 * Makes the outbox table and the agent. Safe to repeat.
 */

if (PHP_SAPI !== 'cli') {
    http_response_code(404);
    exit;
}
$_SERVER['DOCUMENT_ROOT'] = dirname(__DIR__, 3);
define('NO_KEEP_STATISTIC', true);
define('NOT_CHECK_PERMISSIONS', true);
define('BX_NO_ACCELERATOR_RESET', true);
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include/prolog_before.php';
require_once __DIR__ . '/handlers.php';

IntegrationBus\Outbox::install();
echo "the outbox table and the agent are in place\n";
