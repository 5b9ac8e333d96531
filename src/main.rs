//! Arguments → configuration → run.
//!
//! Exit codes: 0 after a drain, 1 for what fails while running, 2 for a command line or configuration that is wrong.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use larder::app::{Asked, Succession, Watch};
use larder::config::{Config, ConfigError, Flags, Said};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A caching sidecar for PostgreSQL: repeated SELECTs from memory, never a stale answer after your own write.
#[derive(Parser)]
#[command(version, about, args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients (what happens without a command, too)
    Serve {
        /// Take the listening sockets from the Larder that runs (server.upgrade_socket)
        #[arg(long)]
        upgrade: bool,
    },
    /// Ask a running Larder on its admin address whether it is ready: exit code 0 or 1
    Health,
    /// Tell what would become of a statement, and why; it is not run, and no running Larder is needed
    Explain(Explain),
    /// Look at configuration, database and schema: what will work and what will not, with remedies
    Check {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Watch a running Larder in the terminal: what hits, what does not, and why
    Top(Top),
    /// What a running Larder saves, or would save in mode observe, statement by statement, with rules to paste
    Report {
        /// How many statements, of those called most
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        statements: usize,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// `larder top`.
#[derive(clap::Args)]
struct Top {
    /// One look as plain text (what happens without a terminal, too)
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// A file with admin.token, to pause and resume the cache
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// `larder explain`.
#[derive(clap::Args)]
struct Explain {
    /// The statement
    #[arg(value_name = "SQL")]
    sql: String,
    /// The role that would ask, if not the one of the upstream's URL
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// A setting of its session (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

const FAILED: u8 = 1;
const MISUSED: u8 = 2;

const UPGRADE: &str = "--upgrade";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => return misread(&error),
        // --help and --version.
        Err(error) => error.exit(),
    };
    match arguments.command {
        None => serve(&arguments.flags, &["serve"], false),
        Some(command) => run(&arguments.flags, command),
    }
}

fn run(flags: &Flags, command: Command) -> ExitCode {
    match command {
        Command::Serve { upgrade } => serve(flags, &[], upgrade),
        Command::Health => health(flags),
        Command::Explain(asked) => explain(flags, asked),
        Command::Check { json } => check(flags, json),
        Command::Top(asked) => top(flags, asked),
        Command::Report { statements, json } => report(flags, statements, json),
    }
}

/// Says what is wrong with the command line, without the connection strings in it: clap quotes what it did not expect.
fn misread(error: &clap::Error) -> ExitCode {
    let mut text = error.render().to_string();
    for argument in std::env::args().skip(1) {
        if let Some(at) = argument
            .find("postgres://")
            .or(argument.find("postgresql://"))
        {
            text = text.replace(&argument[at..], "postgres://***");
        }
    }
    eprint!("{text}");
    ExitCode::from(MISUSED)
}

/// `more`: what is missing on the command line for a successor's.
fn serve(flags: &Flags, more: &[&str], upgrade: bool) -> ExitCode {
    let read = Said::read(flags).and_then(|said| Ok((said.config()?, said)));
    let (config, said) = match read {
        Ok(read) => read,
        Err(error) => return misused(&error),
    };
    larder::logging::start(&config.log);
    let own = std::env::args_os().skip(1).filter(|word| word != UPGRADE);
    let succession = Succession {
        upgrade,
        again: own
            .chain(more.iter().map(Into::into))
            .chain([UPGRADE.into()])
            .collect(),
    };
    match larder::app::run(flags.clone(), said, config, succession) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn health(flags: &Flags) -> ExitCode {
    let address = match Config::load_admin(flags) {
        Ok(address) => address,
        Err(error) => return misused(&error),
    };
    match larder::admin::call::probe(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("larder: {text}");
            ExitCode::from(FAILED)
        }
    }
}

fn explain(flags: &Flags, asked: Explain) -> ExitCode {
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(error) => return misused(&error),
    };
    larder::logging::quietly(&config.log);
    let question = Asked {
        sql: asked.sql,
        role: asked.role,
        set: asked.set,
    };
    match larder::app::explain(&config, &question) {
        Ok(told) if asked.json => print(&serde_json::to_string_pretty(&told).unwrap_or_default()),
        Ok(told) => print(&told.lines().join("\n")),
        Err(error) => {
            eprintln!("larder: {error}");
            let misused = matches!(error, larder::app::Error::Asked(_));
            ExitCode::from(if misused { MISUSED } else { FAILED })
        }
    }
}

fn check(flags: &Flags, json: bool) -> ExitCode {
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(error) => return misused(&error),
    };
    larder::logging::quietly(&config.log);
    let findings = larder::app::check(&config);
    match json {
        true => print(&serde_json::to_string_pretty(&findings).unwrap_or_default()),
        false => print(&findings.lines().join("\n")),
    };
    match findings.failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

fn top(flags: &Flags, asked: Top) -> ExitCode {
    let address = match Config::load_admin(flags) {
        Ok(address) => address,
        Err(error) => return misused(&error),
    };
    let seen = if asked.once || !std::io::stdout().is_terminal() {
        larder::app::once(&address).map(|text| print(text.trim_end()))
    } else {
        let watch = Watch {
            address,
            token: asked.token_file,
            every: Duration::from_secs(asked.every),
        };
        larder::app::top(watch).map(|()| ExitCode::SUCCESS)
    };
    seen.unwrap_or_else(failed)
}

fn report(flags: &Flags, statements: usize, json: bool) -> ExitCode {
    let address = match Config::load_admin(flags) {
        Ok(address) => address,
        Err(error) => return misused(&error),
    };
    match larder::app::report(&address, statements) {
        Ok(told) if json => print(&serde_json::to_string_pretty(&told.json()).unwrap_or_default()),
        Ok(told) => print(&told.lines().join("\n")),
        Err(error) => failed(error),
    }
}

fn failed(error: String) -> ExitCode {
    eprintln!("larder: {error}");
    ExitCode::from(FAILED)
}

/// Whoever reads no more has read enough.
fn print(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn misused(error: &ConfigError) -> ExitCode {
    for line in error.to_string().lines() {
        eprintln!("larder: {line}");
    }
    ExitCode::from(MISUSED)
}
