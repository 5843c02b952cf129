//! What standard output is.

use std::{
    env,
    io::{self, IsTerminal},
};

use kwhy_publish::text::Style;

/// Colour and width for standard output.
pub(crate) fn style() -> Style {
    let columns = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    Style::detect(io::stdout().is_terminal(), env::var_os("NO_COLOR").as_deref(), columns)
}
