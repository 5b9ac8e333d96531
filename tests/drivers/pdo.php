<?php
// PHP's PDO: three round trips for a prepared read (Parse, the rest, DEALLOCATE); literals in the text with emulated prepares.

const POINT = 'SELECT id, name FROM items WHERE id = ?';
const MANY = 'SELECT id, name FROM items WHERE id > ? ORDER BY id';
const TYPES = 'SELECT id, name, ok, at, price, encode(raw, \'hex\') AS raw, extra, tags FROM items WHERE id = ?';
const NAME = 'SELECT name FROM items WHERE id = ?';
const SCRATCH = 'SELECT id, name FROM scratch ORDER BY id';
const VALUE = "it's \\ 2";

function step(string $name, ?array $rows = null, array $seen = []): void
{
    $line = ['step' => $name] + $seen;
    if ($rows !== null) $line['rows'] = $rows;
    fwrite(STDOUT, json_encode($line) . "\n");
    fflush(STDOUT);
    fgets(STDIN);
}

function read(PDO $pdo, string $sql, mixed $value, array $options = []): array
{
    $statement = $pdo->prepare($sql, $options);
    $statement->execute($value === null ? null : [$value]);
    return $statement->fetchAll(PDO::FETCH_NUM);
}

function fails(string $name, callable $act): void
{
    try {
        $act();
        step($name, null, ['error' => 'none']);
    } catch (PDOException $error) {
        step($name, null, ['sqlstate' => $error->getCode(), 'message' => $error->getMessage()]);
    }
}

$pdo = new PDO('pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE'), getenv('PGUSER'));
step('connect', null, ['version' => 'PHP ' . PHP_VERSION . ' PDO, libpq ' . $pdo->getAttribute(PDO::ATTR_CLIENT_VERSION)]);
$emulate = [PDO::ATTR_EMULATE_PREPARES => true];
$reads = ['point' => [POINT, 3], 'many' => [MANY, 5], 'types' => [TYPES, 2], 'nulls' => [TYPES, 11], 'text' => ['SELECT id FROM items WHERE name = ?', VALUE]];
foreach ($reads as $name => [$sql, $value]) {
    step("plain $name, emulated", read($pdo, $sql, $value, $emulate));
    step("prepared $name", read($pdo, $sql, $value));
}
step('plain query', $pdo->query('SELECT id, name FROM items WHERE id = 3')->fetchAll(PDO::FETCH_NUM));
step('plain unprepared', read($pdo, POINT, 3, [PDO::PGSQL_ATTR_DISABLE_PREPARES => true]));
$statement = $pdo->prepare(NAME);
for ($n = 1; $n <= 7; $n++) {
    $statement->execute([$n]);
    step("prepared $n", $statement->fetchAll(PDO::FETCH_NUM));
}
$statement = null;
$pdo->beginTransaction();
step('begin');
step('transaction point', read($pdo, POINT, 3));
step('transaction many', read($pdo, MANY, 5, $emulate));
$pdo->commit();
step('commit');
$count = $pdo->prepare('INSERT INTO scratch VALUES (?, ?)');
$count->execute([1, 'one']);
step('write insert', null, ['count' => $count->rowCount()]);
step('write read', read($pdo, SCRATCH, null));
step('write again', read($pdo, SCRATCH, null));
fails('error division', fn () => $pdo->query('SELECT 1 / (id - id) FROM items'));
$pdo->beginTransaction();
fails('error unique', fn () => $pdo->exec("INSERT INTO scratch VALUES (1, 'again')"));
fails('failed transaction', fn () => read($pdo, POINT, 3));
$pdo->rollBack();
step('failed rollback', read($pdo, POINT, 3));
$pdo->beginTransaction();
$pdo->exec("INSERT INTO scratch VALUES (2, 'two')");
$pdo->exec('SAVEPOINT here');
fails('savepoint error', fn () => $pdo->exec("INSERT INTO scratch VALUES (1, 'again')"));
$pdo->exec('ROLLBACK TO here');
$pdo->commit();
step('savepoint read', read($pdo, SCRATCH, null));
step('clean', null, ['count' => $pdo->exec('DELETE FROM scratch')]);
$pdo = null;
step('close');
