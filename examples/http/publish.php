<?php
/**
 * Publishes one JSON value, and prints the answer of the broker. Needs PHP 8.1 without extensions.
 *   php publish.php <topic> <json> [key]
 * FANFARE_URL: http://localhost:8080 if unset. FANFARE_TOKEN: a token or an API key, if the broker requires one.
 */
declare(strict_types=1);

/** Waits and repeats for at most this time. */
const GIVE_UP_SECONDS = 60;

/** Returns the answer: topic, epoch, offset, messageId, duplicate. */
function publish(string $topic, string $json, string $key): array
{
    $url = (getenv('FANFARE_URL') ?: 'http://localhost:8080') . "/v1/topics/$topic/publications";
    // One key for all attempts: the broker publishes once, however often this repeats the request.
    $headers = ['Content-Type: application/json', "Idempotency-Key: $key"];
    if (getenv('FANFARE_TOKEN')) {
        $headers[] = 'Authorization: Bearer ' . getenv('FANFARE_TOKEN');
    }
    $options = ['method' => 'POST', 'header' => $headers, 'content' => $json, 'timeout' => 10, 'ignore_errors' => true];
    $giveUpAt = microtime(true) + GIVE_UP_SECONDS;
    for ($attempt = 0; ; $attempt++) {
        $http_response_header = [];
        $body = @file_get_contents($url, false, stream_context_create(['http' => $options]));
        $status = preg_match('/^HTTP\S+ (\d+)/', $http_response_header[0] ?? '', $match) ? (int) $match[1] : 0;
        $answer = is_string($body) ? json_decode($body, true) : null;
        if ($status === 200 && isset($answer['topic'])) {
            return $answer;
        }
        $failure = $answer['detail'] ?? ($status > 0 ? "Status $status." : 'The broker did not answer.');
        // 0: no answer. The broker may have published it, as after 500 and 504: the key makes repeating safe.
        if (!in_array($status, [0, 200, 408, 429, 500, 502, 503, 504], true)) {
            throw new RuntimeException($failure);
        }
        $retryAfter = preg_grep('/^Retry-After: *\d+$/i', $http_response_header);
        $seconds = $retryAfter ? (float) explode(':', (string) reset($retryAfter))[1] : min(0.2 * 2 ** $attempt, 5);
        // A random part: many publishers must not all return at once.
        $seconds *= 1 + lcg_value() / 2;
        if (microtime(true) + $seconds > $giveUpAt) {
            throw new RuntimeException("Gave up: $failure");
        }
        usleep((int) ($seconds * 1_000_000));
    }
}

[, $topic, $json] = $argv;
try {
    echo json_encode(publish($topic, $json, $argv[3] ?? bin2hex(random_bytes(16)))), "\n";
} catch (RuntimeException $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
