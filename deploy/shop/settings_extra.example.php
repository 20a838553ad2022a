<?php

/*
 * The part of bitrix/.settings_extra.php that the handler reads. Keep that file closed to the web and out of backups
 * that others may read: whoever has the key can speak in the shop's name.
 */
return [
    'integration_bus' => [
        'value' => [
            'url' => 'https://bus.example.com/shop/shop', // the last part is the system's name in bus.yaml
            'keys' => ['whsec_...'], // the same as SHOP_KEY of the bus; two while one is exchanged for another
        ],
        'readonly' => true,
    ],
];
