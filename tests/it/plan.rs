//! `plimsoll plan` as a user runs it.

mod command;
mod input;
mod phoenix;
mod run;
