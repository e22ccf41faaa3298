//! The accounts of a run, and their groups.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{ImportError, LOGIN, Logins, Mode, Of, Run, Target, Working};
use crate::import::account::{self, OpenAccount};
use crate::import::cipher::Ciphers;
use crate::import::fields::line;
use crate::import::report::{Matter, Remarks};
use crate::import::source::Survey;
use crate::model::account::live::Credentials;
use crate::model::account::{Account, Platform, amazon};
use crate::model::group::Group;
use crate::model::secret::Secret;
use crate::port::clock::Millis;
use crate::secrets::SourceDigest;
use crate::store::imports::{Incoming, Outcome, Record};

impl Run<'_> {
    pub(super) async fn accounts(
        &self,
        survey: &Survey,
        ciphers: &Ciphers,
        working: &mut Working,
    ) -> Result<(BTreeMap<String, Platform>, GroupParts), ImportError> {
        let now = self.clock.now();
        let mut open: Vec<OpenAccount> = Vec::new();
        for raw in &survey.accounts {
            working.report.accounts.found += 1;
            match account::account(raw, ciphers, now, &mut working.remarks) {
                Ok(mut account) => {
                    self.reachable(&mut account, &mut working.remarks);
                    open.push(account);
                }
                Err(why) => {
                    working.report.accounts.skipped += 1;
                    working.remarks.add(Matter::Skipped, why, &account::name(raw));
                }
            }
        }
        let platforms: BTreeMap<String, Platform> = open
            .iter()
            .map(|account| (account.id.clone(), account.platform))
            .collect();
        let (groups, parts) = groups(survey, &platforms, now, working);
        self.needed(&open, working);
        let mut memberships: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for raw in &survey.groups {
            for member in &raw.members {
                let platform = platforms.get(member);
                let part = platform.and_then(|platform| parts.get(&raw.id)?.get(platform));
                if let Some(id) = part {
                    memberships.entry(member).or_default().insert(id.clone());
                }
            }
        }
        let incoming: Vec<Incoming> = groups
            .into_iter()
            .map(|group| incoming_group(&working.digests, group))
            .collect();
        self.records(&incoming, Of::Groups, working).await?;
        for account in open {
            let groups = memberships.get(account.id.as_str()).cloned().unwrap_or_default();
            working
                .names
                .insert(account.id.clone(), (account.platform, account.name.clone()));
            self.account(&account, groups, working).await?;
        }
        Ok((platforms, parts))
    }

    /// Accounts are imported even if this relay may not connect to their address.
    fn reachable(&self, account: &mut OpenAccount, remarks: &mut Remarks) {
        let address = match &account.credentials {
            Credentials::ApiKey { base_url, .. } => base_url.clone(),
            Credentials::AccessKeys(keys) => Some(amazon::address(&keys.region, keys.base_url.as_deref())),
            // CRS has no such accounts.
            Credentials::ServiceAccount(_) | Credentials::EntraApp(_) | Credentials::OAuth { .. } => None,
        };
        let Some(address) = address else {
            return;
        };
        let refused = match address.parse() {
            Ok(uri) => self
                .destinations
                .target(&uri)
                .err()
                .map(|refusal| refusal.to_string()),
            Err(_) => Some("it is not an address".to_owned()),
        };
        if let Some(why) = refused {
            account.is_active = false;
            let what = format!("its address cannot be used: {why}");
            remarks.add(Matter::Inactive, what, &account.name);
        }
    }

    /// Logins can only be refreshed with the OAuth client that made them.
    fn needed(&self, accounts: &[OpenAccount], working: &mut Working) {
        let config = self.config;
        for (platform, name, id, secret) in [
            (
                Platform::Claude,
                "CLAUDE",
                config.claude.oauth_client_id.is_some(),
                true,
            ),
            (
                Platform::OpenAi,
                "OPENAI",
                config.openai.oauth_client_id.is_some(),
                true,
            ),
            (
                Platform::Gemini,
                "GEMINI",
                config.gemini.oauth_client_id.is_some(),
                config.gemini.oauth_client_secret.is_some(),
            ),
            (
                Platform::Antigravity,
                "ANTIGRAVITY",
                config.antigravity.oauth_client_id.is_some(),
                config.antigravity.oauth_client_secret.is_some(),
            ),
        ] {
            if !accounts
                .iter()
                .any(|account| account.platform == platform && account.is_refreshed())
            {
                continue;
            }
            let missing = [("ID", id), ("SECRET", secret)]
                .into_iter()
                .filter(|(_, set)| !set);
            let names = missing.map(|(part, _)| format!("{name}_OAUTH_CLIENT_{part}"));
            working.report.needed_variables.extend(names);
        }
    }

    async fn account(
        &self,
        open: &OpenAccount,
        groups: BTreeSet<String>,
        working: &mut Working,
    ) -> Result<(), ImportError> {
        let Some(target) = &self.target else {
            if open.is_refreshed() {
                working.report.idle_logins += 1;
            }
            working.report.accounts.created += 1;
            return Ok(());
        };
        let logins = self.logins_of(target, open).await?;
        let credentials = match (&open.credentials, logins) {
            (
                Credentials::OAuth {
                    access_token,
                    expires_at,
                    tenant,
                    ..
                },
                Some(Logins::Followed),
            ) => Credentials::OAuth {
                access_token: access_token.clone(),
                refresh_token: None,
                expires_at: *expires_at,
                tenant: tenant.clone(),
            },
            (credentials, _) => credentials.clone(),
        };
        let idle = logins == Some(Logins::Idle);
        working.report.idle_logins += u64::from(idle);
        let mut extra = serde_json::Map::new();
        if let Some(logins) = logins {
            extra.insert(LOGIN.to_owned(), json!(logins.name()));
        }
        let (proxy, proxy_shown) = match &open.proxy {
            Some(proxy) => {
                let (sealed, shown) = target.accounts.seal_proxy(&open.id, proxy)?;
                (Some(sealed), Some(shown))
            }
            None => (None, None),
        };
        let source = digest_of(&working.digests, open, &credentials, &groups, logins);
        let account = Account {
            id: open.id.clone(),
            name: open.name.clone(),
            description: open.description.clone(),
            platform: open.platform,
            credentials: target.accounts.seal_credentials(&open.id, &credentials),
            credential_version: 1,
            priority: open.priority,
            max_concurrency: open.max_concurrency,
            is_active: open.is_active,
            schedulable: open.schedulable && !idle,
            proxy,
            proxy_shown,
            model_mapping: open.model_mapping.clone(),
            groups,
            shared: open.shared,
            supported_models: open.supported_models.clone(),
            subscription_expires_at: open.subscription_expires_at,
            daily_quota: open.daily_quota,
            reserve_percent: 0,
            key_header: open.key_header,
            user_agent: open.user_agent.clone(),
            // CRS calls every host by Responses.
            chat_only: false,
            // Azure's accounts are imported for its v1 API.
            api_version: None,
            created_at: open.created_at,
            updated_at: self.clock.now(),
            extra,
        };
        let incoming = Incoming {
            record: Record::Account(Box::new(account)),
            source,
        };
        let outcomes = self
            .records(std::slice::from_ref(&incoming), Of::Accounts, working)
            .await?;
        if self.mode == Mode::Verify && outcomes == [Outcome::Unchanged] {
            working.report.secrets_compared += 1;
            let here = target.accounts.fresh(&open.id).await?;
            let same = here.is_some_and(|here| {
                here.credentials == credentials && here.proxy.as_deref() == open.proxy.as_ref()
            });
            working.report.secrets_different += u64::from(!same);
        }
        Ok(())
    }

    /// Who refreshes an imported login; `None` if nobody has to. A login once taken over stays so.
    async fn logins_of(
        &self,
        target: &Target<'_>,
        open: &OpenAccount,
    ) -> Result<Option<Logins>, ImportError> {
        if !open.is_refreshed() {
            return Ok(None);
        }
        let before = target.accounts.get(&open.id).await?;
        let before = before
            .as_ref()
            .and_then(|account| account.extra.get(LOGIN)?.as_str());
        let asked = self.logins;
        Ok(Some(match before {
            Some(own) if own == Logins::TakenOver.name() => Logins::TakenOver,
            // A proof compares with the stored state.
            Some(followed) if self.mode == Mode::Verify && followed == Logins::Followed.name() => {
                Logins::Followed
            }
            _ => asked,
        }))
    }
}

/// The groups here for each group of CRS, by platform.
pub(super) type GroupParts = BTreeMap<String, BTreeMap<Platform, String>>;

/// A group of CRS may mix Gemini and Antigravity; here they become one group per platform.
fn groups(
    survey: &Survey,
    accounts: &BTreeMap<String, Platform>,
    now: Millis,
    working: &mut Working,
) -> (Vec<Group>, GroupParts) {
    let (mut groups, mut parts) = (Vec::new(), GroupParts::new());
    for raw in &survey.groups {
        working.report.groups.found += 1;
        let (name, _) = line(raw.fields.text("name").unwrap_or(&raw.id), 100);
        let own = match raw.fields.text("platform") {
            Some("claude") => Platform::Claude,
            Some("gemini") => Platform::Gemini,
            Some("openai") => Platform::OpenAi,
            _ => {
                working.report.groups.skipped += 1;
                working
                    .remarks
                    .add(Matter::Skipped, "a group of a platform that is not here", &name);
                continue;
            }
        };
        let members: BTreeSet<Platform> = raw
            .members
            .iter()
            .filter_map(|id| accounts.get(id).copied())
            .collect();
        let gone = raw
            .members
            .iter()
            .filter(|id| !accounts.contains_key(*id))
            .count();
        if gone > 0 {
            let what = "members of the group that are not here are left out";
            working.remarks.add(Matter::Lost, what, &name);
        }
        let mut here = vec![(own, raw.id.clone(), name.clone())];
        if own == Platform::Gemini && members.contains(&Platform::Antigravity) {
            here.push((
                Platform::Antigravity,
                derived_id(&raw.id),
                format!("{name} (Antigravity)"),
            ));
            let what = "the group is two here: Gemini and Antigravity are platforms of their own";
            working.remarks.add(Matter::Changed, what, &name);
        }
        for (platform, id, name) in here {
            parts
                .entry(raw.id.clone())
                .or_default()
                .insert(platform, id.clone());
            groups.push(Group {
                id,
                name,
                description: raw
                    .fields
                    .text("description")
                    .unwrap_or_default()
                    .chars()
                    .take(500)
                    .collect(),
                platform,
                created_at: raw.fields.at("createdAt").unwrap_or(now),
                updated_at: raw.fields.at("updatedAt").unwrap_or(now),
                extra: serde_json::Map::new(),
            });
        }
    }
    (groups, parts)
}

fn incoming_group(digests: &SourceDigest, group: Group) -> Incoming {
    let text = json!([&group.name, &group.description, group.platform.name()]).to_string();
    Incoming {
        source: digests.of(&text),
        record: Record::Group(group),
    }
}

/// A deterministic id in the usual format.
fn derived_id(id: &str) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(format!("antigravity:{id}"));
    let (bits, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    crate::model::id::text(crs_durable::CallId(u128::from_be_bytes(*bits)))
}

/// A keyed digest of everything that an account is made from.
fn digest_of(
    digests: &SourceDigest,
    open: &OpenAccount,
    credentials: &Credentials,
    groups: &BTreeSet<String>,
    logins: Option<Logins>,
) -> String {
    let secrets = match credentials {
        Credentials::ApiKey { api_key, base_url } => json!([api_key.reveal(), base_url]),
        Credentials::AccessKeys(keys) => json!([
            keys.access_key_id,
            keys.secret_access_key.reveal(),
            keys.session_token.as_ref().map(Secret::reveal),
            keys.region,
            keys.base_url
        ]),
        Credentials::ServiceAccount(account) => json!([
            account.client_email,
            account.private_key.reveal(),
            account.project,
            account.region,
            account.base_url
        ]),
        Credentials::EntraApp(app) => json!([
            app.tenant_id,
            app.client_id,
            app.client_secret.reveal(),
            app.base_url
        ]),
        Credentials::OAuth {
            access_token,
            refresh_token,
            expires_at,
            tenant,
        } => json!([
            access_token.reveal(),
            refresh_token.as_ref().map(Secret::reveal),
            expires_at,
            tenant
        ]),
    };
    let text = json!([
        secrets,
        open.proxy,
        [open.name, open.description, open.platform.name()],
        [open.priority, open.max_concurrency],
        [open.is_active, open.schedulable, open.shared],
        open.model_mapping,
        open.supported_models,
        open.subscription_expires_at,
        open.daily_quota,
        groups,
        logins.map(Logins::name),
    ]);
    digests.of(&text.to_string())
}
