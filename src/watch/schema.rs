//! The loader of a database's catalog, and the digest that tells when to load again.
//!
//! * Everything is read in one REPEATABLE READ transaction: a catalog of two moments could allow what neither does.
//! * The transaction before is ended first: one that a cancelled load left open would show its old snapshot again.
//! * Temporary schemas are left out of both, or an application's temporary tables would empty the cache; a temporary
//!   child of a permanent table is in, for it is read with its parent.
//! * `pg_class` goes into the digest by the columns that matter: TRUNCATE, REFRESH and index builds rewrite its rows.
//!   (But for its statistics in the part that says what a read of it shows.) All else goes in by the transactions that wrote its rows, which VACUUM and ANALYZE leave alone.
//!
//! Not here: conclusions (`sql::catalog`), and when to ask.

mod queries;

use crate::sql::Catalog;
use crate::sql::catalog::rows::{
    Cast, Column, Expression, ForeignKey, Function, Inheritance, Namespace, Operator, Place,
    Relation, Rule, Trigger, Type,
};
use crate::sql::catalog::{Declaration, Locking, Rows};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Row, SimpleQueryMessage};

/// What the system catalogs are like, and when the server has read its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Equal as long as nothing has changed that the catalog rests on, roles and privileges included.
    pub catalog: Box<str>,
    /// Equal as long as nothing has changed that a read of system catalogs shows, temporary tables and comments included.
    pub shown: Box<str>,
    configured: Box<str>,
}

impl Digest {
    /// Whether the catalog is the same, and the server has not read its configuration again.
    pub fn same_catalog(&self, other: &Digest) -> bool {
        self.catalog == other.catalog && self.same_baselines(other)
    }

    /// Whether no setting can have got another default between the two. (A role's and a database's defaults are those of
    /// sessions to come.)
    pub fn same_baselines(&self, other: &Digest) -> bool {
        self.configured == other.configured
    }
}

/// Loads the catalog, with what is declared of functions, and the digest of the very same moment.
///
/// # Errors
/// The connection's; a catalog that this role may not read.
pub async fn load(
    client: &Client,
    version: u64,
    declared: &[Declaration],
) -> Result<(Catalog, Digest), Error> {
    begin(client).await?;
    let loaded = read(client).await;
    client.batch_execute("ROLLBACK").await?;
    let (rows, locking, digest) = loaded?;
    let catalog = Catalog::build_with(version, rows, declared);
    Ok((catalog.with_locks(locking), digest))
}

/// The digest of this moment.
///
/// # Errors
/// As `load`.
pub async fn digest(client: &Client) -> Result<Digest, Error> {
    begin(client).await?;
    let found = read_digest(client).await;
    client.batch_execute("ROLLBACK").await?;
    found
}

async fn begin(client: &Client) -> Result<(), Error> {
    // A ROLLBACK to be safe would be a warning in the server's log each time.
    // By simple query: in the extended protocol the two times differ by what lies between Bind and Execute.
    let left_open = match client.simple_query(queries::LEFT_OPEN).await {
        Ok(answer) => answer.iter().any(
            |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
        ),
        Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => true,
        Err(error) => return Err(error),
    };
    if left_open {
        client.batch_execute("ROLLBACK").await?;
    }
    client.batch_execute(queries::BEGIN).await
}

async fn read_digest(client: &Client) -> Result<Digest, Error> {
    let row = client.query_one(&queries::digest(), &[]).await?;
    Ok(Digest {
        catalog: text(&row, 0)?,
        shown: text(&row, 1)?,
        configured: text(&row, 2)?,
    })
}

async fn read(client: &Client) -> Result<(Rows, Locking, Digest), Error> {
    let digest = read_digest(client).await?;
    let version = client.query_one(queries::SERVER_VERSION, &[]).await?;
    let version = version.try_get(0)?;
    let (types, functions) = (queries::types(version), queries::functions(version));
    let rows = Rows {
        namespaces: all(client, queries::NAMESPACES, namespace).await?,
        relations: all(client, queries::RELATIONS, relation).await?,
        columns: all(client, queries::COLUMNS, column).await?,
        types: all(client, &types, data_type).await?,
        functions: all(client, &functions, function).await?,
        operators: all(client, queries::OPERATORS, operator).await?,
        casts: all(client, queries::CASTS, cast).await?,
        rules: all(client, queries::RULES, rule).await?,
        triggers: all(client, queries::TRIGGERS, trigger).await?,
        foreign_keys: all(client, queries::FOREIGN_KEYS, foreign_key).await?,
        inheritance: all(client, queries::INHERITANCE, inheritance).await?,
        expressions: all(client, queries::EXPRESSIONS, expression).await?,
    };
    let locking = locking(&client.query_one(queries::LOCKING, &[]).await?)?;
    Ok((rows, locking, digest))
}

async fn all<T>(
    client: &Client,
    query: &str,
    read: fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    client.query(query, &[]).await?.iter().map(read).collect()
}

fn text(row: &Row, column: usize) -> Result<Box<str>, Error> {
    row.try_get::<_, &str>(column).map(Box::from)
}

/// A value of type "char".
fn letter(row: &Row, column: usize) -> Result<u8, Error> {
    row.try_get::<_, i8>(column).map(i8::cast_unsigned)
}

/// A count that is never negative.
fn count(row: &Row, column: usize) -> Result<u16, Error> {
    row.try_get::<_, i16>(column)
        .map(|n| u16::try_from(n).unwrap_or_default())
}

fn extension(row: &Row, column: usize) -> Result<Option<Box<str>>, Error> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(Box::from))
}

fn locking(row: &Row) -> Result<Locking, Error> {
    let strangers: Vec<&str> = row.try_get(1)?;
    Ok(Locking {
        open: row.try_get::<_, Option<bool>>(0)? == Some(true),
        strangers: strangers.into_iter().map(Box::from).collect(),
        deferred: row.try_get(2)?,
        beside: row.try_get(3)?,
        ..Locking::default()
    })
}

fn namespace(row: &Row) -> Result<Namespace, Error> {
    Ok(Namespace {
        oid: row.try_get(0)?,
        name: text(row, 1)?,
    })
}

fn relation(row: &Row) -> Result<Relation, Error> {
    Ok(Relation {
        oid: row.try_get(0)?,
        namespace: row.try_get(1)?,
        name: text(row, 2)?,
        kind: letter(row, 3)?,
        persistence: letter(row, 4)?,
        row_security: row.try_get(5)?,
    })
}

fn column(row: &Row) -> Result<Column, Error> {
    Ok(Column {
        relation: row.try_get(0)?,
        name: text(row, 1)?,
        type_oid: row.try_get(2)?,
    })
}

fn data_type(row: &Row) -> Result<Type, Error> {
    Ok(Type {
        oid: row.try_get(0)?,
        namespace: row.try_get(1)?,
        name: text(row, 2)?,
        kind: letter(row, 3)?,
        inner: row.try_get(4)?,
        string: row.try_get(5)?,
        relation: row.try_get(6)?,
        canonical: row.try_get(7)?,
        user_order: row.try_get(8)?,
        extension: extension(row, 9)?,
    })
}

fn function(row: &Row) -> Result<Function, Error> {
    Ok(Function {
        oid: row.try_get(0)?,
        namespace: row.try_get(1)?,
        name: text(row, 2)?,
        arguments: row.try_get::<_, Vec<u32>>(3)?.into(),
        defaults: count(row, 4)?,
        variadic: row.try_get(5)?,
        result: row.try_get(6)?,
        kind: letter(row, 7)?,
        volatility: letter(row, 8)?,
        trusted_language: row.try_get(9)?,
        range_constructor: row.try_get(10)?,
        extension: extension(row, 11)?,
    })
}

fn operator(row: &Row) -> Result<Operator, Error> {
    Ok(Operator {
        oid: row.try_get(0)?,
        namespace: row.try_get(1)?,
        name: text(row, 2)?,
        function: row.try_get(3)?,
    })
}

fn cast(row: &Row) -> Result<Cast, Error> {
    Ok(Cast {
        source: row.try_get(0)?,
        target: row.try_get(1)?,
        function: row.try_get(2)?,
        method: letter(row, 3)?,
        context: letter(row, 4)?,
    })
}

fn rule(row: &Row) -> Result<Rule, Error> {
    Ok(Rule {
        relation: row.try_get(0)?,
        view: row.try_get(1)?,
        action: text(row, 2)?,
    })
}

fn trigger(row: &Row) -> Result<Trigger, Error> {
    Ok(Trigger {
        relation: row.try_get(0)?,
        function: row.try_get(1)?,
    })
}

fn foreign_key(row: &Row) -> Result<ForeignKey, Error> {
    Ok(ForeignKey {
        referencing: row.try_get(0)?,
        referenced: row.try_get(1)?,
        on_delete: letter(row, 2)?,
        on_update: letter(row, 3)?,
    })
}

fn inheritance(row: &Row) -> Result<Inheritance, Error> {
    Ok(Inheritance {
        child: row.try_get(0)?,
        parent: row.try_get(1)?,
    })
}

fn expression(row: &Row) -> Result<Expression, Error> {
    let place = match row.try_get::<_, &str>(1)? {
        "read" => Place::Read,
        "policy" => Place::Policy,
        "domain" => Place::Domain,
        "index" => Place::Index,
        "trigger" => Place::Trigger,
        _ => Place::Write,
    };
    Ok(Expression {
        owner: row.try_get(0)?,
        place,
        tree: text(row, 2)?,
    })
}
