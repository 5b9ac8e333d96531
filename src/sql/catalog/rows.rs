//! Plain rows of the system catalogs: what the loader's queries return, before anything is concluded.
//!
//! * Rows hold facts in PostgreSQL's own terms (letters of `relkind`, `typtype`, `provolatile` …) and no verdict,
//!   so that a fact can be checked against the server and a verdict can be tested without one.
//! * Objects are "built in" by [`FIRST_NORMAL`] and the schema `pg_catalog` together: a superuser may create a
//!   function in `pg_catalog`, and it is still a user's.
//!
//! Not here: queries (`watch::schema`), conclusions (the other files of this folder).

use super::Oid;

/// `FirstNormalObjectId`: objects made by people, not by initdb, are numbered from here on.
pub const FIRST_NORMAL: Oid = 16384;
/// The schema `pg_catalog`, whose identifier never changes.
pub const PG_CATALOG: Oid = 11;
/// The number from which the rows of [`Rows::table`] and its kin are numbered.
const FIRST_SAMPLE: Oid = 100_000;

/// One database's rows. `Default` is an empty database without even `pg_catalog`.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub namespaces: Vec<Namespace>,
    pub relations: Vec<Relation>,
    pub columns: Vec<Column>,
    pub types: Vec<Type>,
    pub functions: Vec<Function>,
    pub operators: Vec<Operator>,
    pub casts: Vec<Cast>,
    pub rules: Vec<Rule>,
    pub triggers: Vec<Trigger>,
    pub foreign_keys: Vec<ForeignKey>,
    pub inheritance: Vec<Inheritance>,
    pub expressions: Vec<Expression>,
}

/// `pg_namespace`, without temporary schemas.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub oid: Oid,
    pub name: Box<str>,
}

/// `pg_class`: what can stand in FROM, and composite types; temporary ones only where they inherit from a
/// permanent table.
#[derive(Clone, Debug)]
pub struct Relation {
    pub oid: Oid,
    pub namespace: Oid,
    pub name: Box<str>,
    /// `relkind`: r, p, v, m, f, S, c.
    pub kind: u8,
    /// `relpersistence`: p, u, t.
    pub persistence: u8,
    /// `relrowsecurity`.
    pub row_security: bool,
}

/// `pg_attribute`, without system columns.
#[derive(Clone, Debug)]
pub struct Column {
    pub relation: Oid,
    pub name: Box<str>,
    pub type_oid: Oid,
}

/// `pg_type` with `pg_range`.
#[derive(Clone, Debug, Default)]
pub struct Type {
    pub oid: Oid,
    pub namespace: Oid,
    pub name: Box<str>,
    /// `typtype`: b, c, d, e, m, p, r.
    pub kind: u8,
    /// Element type of a true array, base type of a domain, subtype of a range, range of a multirange; else 0.
    pub inner: Oid,
    /// `typcategory` S: PostgreSQL casts it to any type by way of that type's input function.
    pub string: bool,
    /// `typrelid` of a composite type, else 0.
    pub relation: Oid,
    /// `rngcanonical`, else 0.
    pub canonical: Oid,
    /// A default btree or hash operator class made by a user decides this type's order or equality.
    pub user_order: bool,
    /// The extension it belongs to.
    pub extension: Option<Box<str>>,
}

/// `pg_proc`.
#[derive(Clone, Debug, Default)]
pub struct Function {
    pub oid: Oid,
    pub namespace: Oid,
    pub name: Box<str>,
    /// `proargtypes`: types of the input arguments.
    pub arguments: Box<[Oid]>,
    /// `pronargdefaults`: how many at the end may be left out.
    pub defaults: u16,
    /// `provariadic`, else 0.
    pub variadic: Oid,
    /// `prorettype`.
    pub result: Oid,
    /// `prokind`: f, p, a, w; o for ordered-set and hypothetical-set aggregates.
    pub kind: u8,
    /// `provolatile`: i, s, v.
    pub volatility: u8,
    /// `prolang` is one of internal, c, sql.
    pub trusted_language: bool,
    /// PostgreSQL made it itself for a user's range type over a type of its own, without functions of the user's.
    pub range_constructor: bool,
    /// The extension it belongs to.
    pub extension: Option<Box<str>>,
}

/// `pg_operator`.
#[derive(Clone, Debug)]
pub struct Operator {
    pub oid: Oid,
    pub namespace: Oid,
    pub name: Box<str>,
    /// `oprcode`.
    pub function: Oid,
}

/// `pg_cast`, those made by users.
#[derive(Clone, Debug)]
pub struct Cast {
    pub source: Oid,
    pub target: Oid,
    /// `castfunc`, 0 for WITH INOUT and WITHOUT FUNCTION.
    pub function: Oid,
    /// `castmethod`: f, i, b.
    pub method: u8,
    /// `castcontext`: i, a, e.
    pub context: u8,
}

/// `pg_rewrite` of relations that are not the system's.
#[derive(Clone, Debug)]
pub struct Rule {
    pub relation: Oid,
    /// It is the SELECT rule that makes a view or a materialised view.
    pub view: bool,
    /// `ev_action`.
    pub action: Box<str>,
}

/// `pg_trigger`, enabled ones whose function is not built in: those of foreign keys are; those of a user that were
/// cloned to a partition are marked internal although they are not. `pg_event_trigger` with the relation 0.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub relation: Oid,
    pub function: Oid,
}

/// `pg_constraint`, contype f.
#[derive(Clone, Debug)]
pub struct ForeignKey {
    pub referencing: Oid,
    pub referenced: Oid,
    /// `confdeltype`, `confupdtype`: a, r, c, n, d.
    pub on_delete: u8,
    pub on_update: u8,
}

/// `pg_inherits`: partitions and inheritance children.
#[derive(Clone, Debug)]
pub struct Inheritance {
    pub child: Oid,
    pub parent: Oid,
}

/// Where an expression of the catalog is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Defaults, generated columns, CHECK constraints and partition expressions of a relation: on writes.
    Write,
    /// Expressions of indexes and of extended statistics: on writes, and when they are made again.
    Index,
    /// Conditions of triggers: on writes, those without a new row included.
    Trigger,
    /// Generated columns that are not stored: on reads.
    Read,
    /// Row security policies: on reads and writes.
    Policy,
    /// A domain's CHECK constraint.
    Domain,
}

/// `pg_attrdef`, `pg_constraint`, `pg_index`, `pg_statistic_ext`, `pg_partitioned_table`, `pg_policy`, `pg_trigger`.
#[derive(Clone, Debug)]
pub struct Expression {
    /// The relation or the domain.
    pub owner: Oid,
    pub place: Place,
    /// `pg_node_tree` as text.
    pub tree: Box<str>,
}

/// Rows made by hand, for tests and fuzz targets.
impl Rows {
    /// A database with the schemas pg_catalog, information_schema and public and nothing in them.
    pub fn empty_database() -> Rows {
        let mut rows = Rows::default();
        for (oid, name) in [
            (PG_CATALOG, "pg_catalog"),
            (2200, "public"),
            (13_000, "information_schema"),
        ] {
            rows.namespaces.push(Namespace {
                oid,
                name: name.into(),
            });
        }
        rows
    }

    /// The schema of this name, made where it is missing.
    pub fn schema(&mut self, name: &str) -> Oid {
        if let Some(found) = self.namespaces.iter().find(|n| &*n.name == name) {
            return found.oid;
        }
        let oid = self.next();
        self.namespaces.push(Namespace {
            oid,
            name: name.into(),
        });
        oid
    }

    /// An ordinary table.
    pub fn table(&mut self, schema: &str, name: &str) -> Oid {
        self.relation(schema, name, b'r')
    }

    /// A relation of any `relkind`.
    pub fn relation(&mut self, schema: &str, name: &str, kind: u8) -> Oid {
        let (namespace, oid) = (self.schema(schema), self.next());
        let name = name.into();
        self.relations.push(Relation {
            oid,
            namespace,
            name,
            kind,
            persistence: b'p',
            row_security: false,
        });
        oid
    }

    /// A view that reads these relations.
    pub fn view(&mut self, schema: &str, name: &str, reads: &[Oid]) -> Oid {
        let relation = self.relation(schema, name, b'v');
        let entries: String = reads
            .iter()
            .map(|oid| format!("{{RANGETBLENTRY :relid {oid}}} "))
            .collect();
        self.rules.push(Rule {
            relation,
            view: true,
            action: format!("({{QUERY :rtable ({entries})}})").into(),
        });
        relation
    }

    /// A column of a relation.
    pub fn column(&mut self, relation: Oid, name: &str, type_oid: Oid) {
        self.columns.push(Column {
            relation,
            name: name.into(),
            type_oid,
        });
    }

    /// A function that PostgreSQL brings with it: `arguments` of them, none may be left out.
    pub fn builtin(&mut self, name: &str, arguments: u16, volatility: u8) -> Oid {
        let oid = 1000 + Oid::try_from(self.functions.len()).unwrap_or_default();
        self.push_function(oid, PG_CATALOG, name, arguments, volatility)
    }

    /// A user's function.
    pub fn function(&mut self, schema: &str, name: &str, arguments: u16, volatility: u8) -> Oid {
        let (namespace, oid) = (self.schema(schema), self.next());
        self.push_function(oid, namespace, name, arguments, volatility)
    }

    /// An operator, with a function of its own in the same schema; built in if the schema is pg_catalog.
    pub fn operator(&mut self, schema: &str, name: &str) -> Oid {
        let builtin = schema == "pg_catalog";
        let function = if builtin {
            self.builtin("operator", 2, b'i')
        } else {
            self.function(schema, "operator", 2, b'i')
        };
        let namespace = self.schema(schema);
        let oid = if builtin {
            function + 5000
        } else {
            self.next()
        };
        self.operators.push(Operator {
            oid,
            namespace,
            name: name.into(),
            function,
        });
        oid
    }

    /// A type of any `typtype`; built in if the schema is pg_catalog.
    pub fn named_type(&mut self, schema: &str, name: &str, kind: u8) -> Oid {
        let namespace = self.schema(schema);
        let oid = if namespace == PG_CATALOG {
            10_000 + Oid::try_from(self.types.len()).unwrap_or_default()
        } else {
            self.next()
        };
        self.types.push(Type {
            oid,
            namespace,
            name: name.into(),
            kind,
            ..Type::default()
        });
        oid
    }

    fn push_function(
        &mut self,
        oid: Oid,
        namespace: Oid,
        name: &str,
        arguments: u16,
        volatility: u8,
    ) -> Oid {
        let name = name.into();
        let (kind, trusted_language) = (b'f', namespace == PG_CATALOG);
        let arguments = vec![0; usize::from(arguments)].into();
        let shape = Function {
            oid,
            namespace,
            name,
            arguments,
            kind,
            volatility,
            ..Function::default()
        };
        self.functions.push(Function {
            trusted_language,
            ..shape
        });
        oid
    }

    fn next(&self) -> Oid {
        let made =
            self.namespaces.len() + self.relations.len() + self.types.len() + self.functions.len();
        FIRST_SAMPLE + Oid::try_from(made + self.operators.len()).unwrap_or_default()
    }
}
