//! Whether Slack knows the webhook. Nothing is posted.

use kwhy_publish::slack::Webhook;

use super::check::Check;
use crate::config::Config;

pub(crate) async fn check(config: &Config) -> Check {
    let Some(url) = &config.slack.webhook_url else {
        return Check::off(
            "slack",
            "not configured",
            "for messages in a channel set slack.webhook_url in kwhy.yaml",
        );
    };
    let probed = match Webhook::new(url) {
        Ok(webhook) => webhook.probe().await,
        Err(error) => Err(error),
    };
    match probed {
        Ok(()) => Check::ok("slack", "Slack knows the webhook"),
        Err(error) => Check::missing(
            "slack",
            format!("{:#}", anyhow::Error::new(error)),
            "make a new one on the app's page «Incoming Webhooks» and set slack.webhook_url in kwhy.yaml",
        ),
    }
}
