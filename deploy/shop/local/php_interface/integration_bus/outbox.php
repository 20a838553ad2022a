<?php

namespace IntegrationBus;

use Bitrix\Main\Application;
use Bitrix\Main\Config\Configuration;
use Bitrix\Main\Event;
use Bitrix\Main\Loader;
use Bitrix\Main\Type\DateTime;
use Bitrix\Main\Web\HttpClient;
use Bitrix\Sale\Order;

/**
 * From "this order was saved" to the bus's 2xx. Sent twice does no harm: the bus knows the version of an order.
 */
final class Outbox
{
    private const AGENT = '\IntegrationBus\Outbox::agent();';
    private const BATCH = 100;
    private const FIRST_RETRY_S = 60;
    private const LONGEST_PAUSE_S = 3600;
    private const AGENT_TURN_S = 20;
    private const UNSENDABLE = -1;

    /** Orders of this request; a checkout saves one order several times, and one message tells of them all. */
    private static $noted = [];

    public static function orderSaved(Event $event): void
    {
        self::guarded(static function () use ($event): void {
            $order = $event->getParameter('ENTITY');
            if ($order instanceof Order) {
                self::note('order.saved', (int)$order->getId());
            }
        });
    }

    public static function orderDeleted(Event $event): void
    {
        self::guarded(static function () use ($event): void {
            $order = $event->getParameter('ENTITY');
            if ($order instanceof Order && $event->getParameter('VALUE') !== false) {
                self::note('order.deleted', (int)$order->getId());
            }
        });
    }

    /** The agent: sends what is due, oldest first. Returns its own call, which is how Bitrix keeps an agent. */
    public static function agent(): string
    {
        self::guarded(static function (): void {
            $until = time() + self::AGENT_TURN_S;
            $rows = OutboxTable::getList([
                'select' => ['ORDER_ID'],
                'filter' => ['<=NEXT_AT' => new DateTime()],
                'order' => ['ID' => 'ASC'],
                'limit' => self::BATCH,
            ])->fetchAll();
            foreach (array_unique(array_column($rows, 'ORDER_ID')) as $orderId) {
                if (time() >= $until || !self::send((int)$orderId)) {
                    return; // The bus is away: the others would only wait for the same time-out.
                }
            }
        });
        return self::AGENT;
    }

    /** Once per shop, from install.php: the table and the agent. */
    public static function install(): void
    {
        $connection = Application::getConnection();
        if (!$connection->isTableExists(OutboxTable::getTableName())) {
            OutboxTable::getEntity()->createDbTable();
            $connection->createIndex(OutboxTable::getTableName(), 'ix_integration_bus_next', ['NEXT_AT']);
            $connection->createIndex(OutboxTable::getTableName(), 'ix_integration_bus_order', ['ORDER_ID']);
        }
        \CAgent::RemoveAgent(self::AGENT);
        \CAgent::AddAgent(self::AGENT, '', 'N', self::FIRST_RETRY_S);
    }

    private static function note(string $event, int $orderId): void
    {
        if ($orderId <= 0 || isset(self::$noted[$event . $orderId])) {
            return;
        }
        $added = OutboxTable::add([
            'MESSAGE_ID' => self::uuid(),
            'EVENT' => $event,
            'ORDER_ID' => $orderId,
            'USER_ID' => self::user(),
            'OCCURRED_AT' => new DateTime(),
            // The background job is first; the agent takes over when that did not come through.
            'NEXT_AT' => DateTime::createFromTimestamp(time() + self::FIRST_RETRY_S),
            'ATTEMPTS' => 0,
        ]);
        if (!$added->isSuccess()) {
            throw new \RuntimeException(implode('; ', $added->getErrorMessages()));
        }
        self::$noted[$event . $orderId] = true;
        Application::getInstance()->addBackgroundJob(static function () use ($event, $orderId): void {
            unset(self::$noted[$event . $orderId]); // What is saved from now on is told anew.
            self::guarded(static function () use ($orderId): void {
                self::send($orderId);
            });
        });
    }

    /**
     * Tell the bus how an order is now. False when it was not taken and waits for the agent.
     *
     * Rows are read before the order: one that is added while we send names a later change, and is left.
     */
    private static function send(int $orderId): bool
    {
        $rows = OutboxTable::getList([
            'filter' => ['=ORDER_ID' => $orderId],
            'order' => ['ID' => 'ASC'],
        ])->fetchAll();
        if (!$rows) {
            return true;
        }
        $last = end($rows);
        try {
            $status = self::post($last, self::body($last));
        } catch (\Throwable $error) { // This order cannot be told; it is postponed like others, and blocks none.
            Application::getInstance()->getExceptionHandler()->writeToLog($error);
            $status = self::UNSENDABLE;
        }
        if ($status >= 200 && $status < 300) {
            foreach ($rows as $row) {
                OutboxTable::delete($row['ID']);
            }
            return true;
        }
        foreach ($rows as $row) {
            self::postpone($row);
        }
        self::log('order ' . $orderId . ' was not taken: HTTP ' . $status);
        // What the bus refuses as unreadable is kept and tried again later; the other orders go on.
        return in_array($status, [400, 413, 422, self::UNSENDABLE], true);
    }

    private static function body(array $row): string
    {
        Loader::includeModule('sale');
        $orderId = (int)$row['ORDER_ID'];
        $order = $row['EVENT'] === 'order.deleted' ? null : Order::load($orderId);
        return json_encode([
            'id' => $row['MESSAGE_ID'],
            'event' => $order ? 'order.saved' : 'order.deleted',
            'occurred_at' => gmdate('Y-m-d\TH:i:s\Z', $row['OCCURRED_AT']->getTimestamp()),
            'user_id' => $row['USER_ID'] ? (int)$row['USER_ID'] : null,
            'order' => $order ? OrderTold::of($order) : ['id' => $orderId],
        ], JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR);
    }

    /** The HTTP status; 0 when nobody answered. */
    private static function post(array $row, string $body): int
    {
        $settings = self::settings();
        $http = new HttpClient([
            'socketTimeout' => 3,
            'streamTimeout' => 10,
            'redirect' => false,
            'disableSslVerification' => false,
        ]);
        $http->setHeader('Content-Type', 'application/json');
        foreach (Signature::headers($settings['keys'], $row['MESSAGE_ID'], time(), $body) as $name => $value) {
            $http->setHeader($name, $value);
        }
        return $http->post($settings['url'], $body) === false ? 0 : (int)$http->getStatus();
    }

    /** One minute, two, four … at most an hour. Rows are never thrown away. */
    private static function postpone(array $row): void
    {
        $attempts = (int)$row['ATTEMPTS'] + 1;
        $pause = min(self::LONGEST_PAUSE_S, self::FIRST_RETRY_S * 2 ** min($attempts, 10));
        OutboxTable::update($row['ID'], [
            'ATTEMPTS' => $attempts,
            'NEXT_AT' => DateTime::createFromTimestamp(time() + $pause),
        ]);
    }

    private static function settings(): array
    {
        $settings = Configuration::getValue('integration_bus');
        if (empty($settings['url']) || empty($settings['keys'])) {
            throw new \RuntimeException('integration_bus: url and keys are missing in bitrix/.settings_extra.php');
        }
        return ['url' => (string)$settings['url'], 'keys' => (array)$settings['keys']];
    }

    private static function user(): ?int
    {
        $user = $GLOBALS['USER'] ?? null;
        return $user instanceof \CUser ? ((int)$user->GetID() ?: null) : null;
    }

    private static function uuid(): string
    {
        $bytes = random_bytes(16);
        $bytes[6] = chr((ord($bytes[6]) & 0x0f) | 0x40);
        $bytes[8] = chr((ord($bytes[8]) & 0x3f) | 0x80);
        return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex($bytes), 4));
    }

    /** Whatever goes wrong here must not harm a checkout. The reconciliation of the bus finds what was not told. */
    private static function guarded(callable $work): void
    {
        try {
            $work();
        } catch (\Throwable $error) {
            Application::getInstance()->getExceptionHandler()->writeToLog($error);
        }
    }

    /** Ids and statuses only: no body, no key. */
    private static function log(string $line): void
    {
        AddMessage2Log('integration_bus: ' . $line, '', 0);
    }
}
