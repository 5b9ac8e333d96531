# DBD::Pg: prepared by name from the second execution on; `begin` before the first statement where AutoCommit is off.

use strict;
use warnings;
use DBI;
use JSON::PP;

$| = 1;
my $json = JSON::PP->new->canonical;
my $text = "it's \\ 2";
my $SCRATCH = 'SELECT id, name FROM scratch ORDER BY id';

sub step {
    my ($name, $rows, %seen) = @_;
    $seen{step} = $name;
    $seen{rows} = $rows if defined $rows;
    print $json->encode(\%seen), "\n";
    <STDIN>;
}

my $db = DBI->connect("dbi:Pg:host=$ENV{PGHOST};port=$ENV{PGPORT};dbname=$ENV{PGDATABASE}", $ENV{PGUSER}, $ENV{PGPASSWORD} // '',
    { AutoCommit => 1, PrintError => 0, RaiseError => 1 });

sub fails {
    my ($name, $act) = @_;
    step($name, undef, error => 'none'), return if eval { $act->(); 1 };
    step($name, undef, sqlstate => $db->state, message => $db->errstr);
}

sub rows { $db->selectall_arrayref(@_) }

step('connect', undef, version => "DBD::Pg $DBD::Pg::VERSION");
my $types = 'SELECT id, name, ok, at, price, raw, extra, tags FROM items WHERE id = ?';
step('plain point', rows('SELECT id, name FROM items WHERE id = ?', undef, 3));
step('plain many', rows('SELECT id, name FROM items WHERE id > ? ORDER BY id', undef, 5));
step('plain types', rows($types, undef, 2));
step('plain nulls', rows($types, undef, 11));
step('plain text', rows('SELECT id FROM items WHERE name = ?', undef, $text));
step('plain simple', rows('SELECT id, name FROM items WHERE id = 3'));
my $statement = $db->prepare('SELECT name FROM items WHERE id = ?');
for my $n (1 .. 7) {
    $statement->execute($n);
    step("prepared $n", $statement->fetchall_arrayref);
}
undef $statement;
$db->begin_work;
step('transaction point', rows('SELECT id, name FROM items WHERE id = ?', undef, 3));
step('transaction many', rows('SELECT id, name FROM items WHERE id > ? ORDER BY id', undef, 5));
$db->commit;
step('commit');
step('ping', undef, answer => $db->ping);
step('write insert', undef, count => $db->do('INSERT INTO scratch VALUES (?, ?)', undef, 1, 'one'));
step('write read', rows($SCRATCH));
step('write again', rows($SCRATCH));
fails('error division', sub { rows('SELECT 1 / (id - id) FROM items') });
$db->begin_work;
fails('error unique', sub { $db->do("INSERT INTO scratch VALUES (1, 'again')") });
fails('failed transaction', sub { rows('SELECT id, name FROM items WHERE id = ?', undef, 3) });
$db->rollback;
step('failed rollback', rows('SELECT id, name FROM items WHERE id = ?', undef, 3));
$db->begin_work;
$db->do("INSERT INTO scratch VALUES (2, 'two')");
$db->pg_savepoint('here');
fails('savepoint error', sub { $db->do("INSERT INTO scratch VALUES (1, 'again')") });
$db->pg_rollback_to('here');
$db->commit;
step('savepoint read', rows($SCRATCH));
step('clean', undef, count => $db->do('DELETE FROM scratch'));
$db->disconnect;
step('close');
