<?php

/*
 * The shop has an init.php of its own: add this one line to it, do not replace it.
 */
require_once __DIR__ . '/integration_bus/handlers.php';
