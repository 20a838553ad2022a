<?php

namespace IntegrationBus;

/**
 * Standard Webhooks: the headers that prove who sent a body, and when.
 */
final class Signature
{
    /**
     * @param string[] $keys whsec_... ; two while one is exchanged for another
     * @return array<string, string>
     */
    public static function headers(array $keys, string $messageId, int $timestamp, string $body): array
    {
        $signatures = [];
        foreach ($keys as $key) {
            $signed = hash_hmac('sha256', $messageId . '.' . $timestamp . '.' . $body, self::secret($key), true);
            $signatures[] = 'v1,' . base64_encode($signed);
        }
        return [
            'webhook-id' => $messageId,
            'webhook-timestamp' => (string)$timestamp,
            'webhook-signature' => implode(' ', $signatures),
        ];
    }

    private static function secret(string $key): string
    {
        $encoded = strncmp($key, 'whsec_', 6) === 0 ? substr($key, 6) : $key;
        $secret = base64_decode($encoded, true);
        if ($secret === false || strlen($secret) < 24) {
            throw new \RuntimeException('integration_bus: a key must be whsec_ and at least 24 bytes in base64');
        }
        return $secret;
    }
}
