//! Who may send: bearer tokens and a user with a password, from files.
//!
//! Only SHA-256 digests are kept and compared, in constant time and without a way out at the first that fits, so an
//! answer's time tells nothing of a secret, its length included.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::SetupError;

/// Longest `Authorization` that is looked at, bytes.
const LONGEST: usize = 8192;

/// Who may send. The default lets everybody.
#[derive(Clone, Default)]
pub struct Auth {
    tokens: Vec<[u8; 32]>,
    /// Digests of `user:password`.
    basic: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({} tokens, {} passwords)", self.tokens.len(), self.basic.len())
    }
}

impl Auth {
    /// Lets in who has one of the tokens in `file`, one a line: two while one is replaced by the other.
    ///
    /// # Errors
    /// A file that cannot be read or holds no token.
    pub fn bearer(&mut self, key: &'static str, file: &Path) -> Result<(), SetupError> {
        self.tokens.extend(secrets(key, file)?.iter().map(|token| digest(token)));
        Ok(())
    }

    /// Lets in the user with one of the passwords in `file`, one a line.
    ///
    /// # Errors
    /// A file that cannot be read or holds no password.
    pub fn basic(&mut self, key: &'static str, user: &str, file: &Path) -> Result<(), SetupError> {
        self.basic.extend(secrets(key, file)?.iter().map(|password| digest(&format!("{user}:{password}"))));
        Ok(())
    }

    /// Whether everybody may send.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.basic.is_empty()
    }

    /// How a client is told to prove itself.
    pub(super) fn challenge(&self) -> &'static str {
        if self.tokens.is_empty() { "Basic realm=\"kwhy\"" } else { "Bearer realm=\"kwhy\"" }
    }

    /// Whether `authorization`, the value of that header, lets its sender in.
    pub(super) fn admits(&self, authorization: Option<&str>) -> bool {
        if self.is_open() {
            return true;
        }
        let Some((scheme, secret)) =
            authorization.filter(|it| it.len() <= LONGEST).and_then(|it| it.trim().split_once(' '))
        else {
            return false;
        };
        let secret = secret.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return known(&self.tokens, &digest(secret));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(secret).unwrap_or_default();
            return known(&self.basic, &Sha256::digest(&decoded).into());
        }
        false
    }
}

fn known(digests: &[[u8; 32]], given: &[u8; 32]) -> bool {
    digests.iter().fold(Choice::from(0), |found, one| found | one.ct_eq(given)).into()
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The lines of a file that hold something.
pub(super) fn secrets(key: &'static str, file: &Path) -> Result<Vec<String>, SetupError> {
    let path = || PathBuf::from(file);
    let text = fs::read_to_string(file).map_err(|source| SetupError::Read { key, path: path(), source })?;
    let lines: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        let problem = "is empty; put the secret in it, one a line".to_owned();
        return Err(SetupError::Content { key, path: path(), problem });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn auth() -> Auth {
        let mut auth = Auth::default();
        auth.bearer("k", file("old\n\n new \n").path()).unwrap();
        auth.basic("k", "prometheus", file("s3cret:x\n").path()).unwrap();
        auth
    }

    #[test]
    fn one_of_the_secrets_and_nothing_else_lets_in() {
        let auth = auth();
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for good in ["Bearer old", "bearer new", "Bearer  new ", &basic("prometheus:s3cret:x")] {
            assert!(auth.admits(Some(good)), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer newer",
            "Bearer ne",
            "Basic new",
            "Digest new",
            "new",
            &basic("prometheus"),
            &basic("prometheus:"),
            &basic("other:s3cret:x"),
            &format!("Bearer {}", "x".repeat(LONGEST)),
        ] {
            assert!(!auth.admits(Some(bad)), "{bad}");
        }
        assert!(!auth.admits(None));
    }

    #[test]
    fn without_a_secret_everybody_may_send() {
        assert!(Auth::default().admits(None) && Auth::default().is_open());
    }

    #[test]
    fn no_secret_stands_in_what_is_logged() {
        assert_eq!(format!("{:?}", auth()), "Auth(2 tokens, 1 passwords)");
    }

    #[test]
    fn a_file_without_a_secret_is_refused_with_its_name() {
        let empty = file("\n");
        let error = Auth::default().bearer("alerts.auth.bearer_file", empty.path()).unwrap_err().to_string();
        assert!(error.starts_with("alerts.auth.bearer_file: /") && error.contains("is empty"), "{error}");
        let missing = Auth::default().bearer("k", Path::new("/nowhere/token")).unwrap_err().to_string();
        assert_eq!(missing, "k: cannot read /nowhere/token");
    }
}
