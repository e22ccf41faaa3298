//! Azure OpenAI's errors: "error codes" and "quotas and limits" in its documentation, and the sources in the table.

use super::*;

fn azure(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message}}).to_string()
}

#[test]
fn what_is_wrong_with_the_request_is_passed_on() {
    let filtered = serde_json::json!({"error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": null, "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": { "code": "ResponsibleAIPolicyViolation", "content_filter_result": {} },
    }});
    for body in [
        filtered.to_string(),
        azure(
            "OperationNotSupported",
            "The chatCompletion operation does not work with the specified model.",
        ),
        azure("404", "Resource not found"),
    ] {
        for status in [400, 404] {
            let verdict = judge(status, &[], &body);
            assert_eq!(
                (verdict.then, verdict.outcome),
                (Then::PassOn, Outcome::Neutral),
                "{body}"
            );
        }
    }
}

#[test]
fn what_this_resource_does_not_have_another_may() {
    let missing = "The API deployment for this resource does not exist. If you created the deployment within the last 5 \
                   minutes, please wait a moment and try again.";
    let since = "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later";
    for (status, code, message) in [
        (404, "DeploymentNotFound", missing),
        (400, "BadRequest", "API version not supported"),
        (400, "BadRequest", since),
    ] {
        let verdict = judge(status, &[], &azure(code, message));
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::Confirm, Outcome::Neutral),
            "{message}"
        );
    }
}

#[test]
fn refused_credentials_are_told_from_missing_rights() {
    let key = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an \
               active subscription and use a correct regional API endpoint for your resource.";
    let token = "Unauthorized. Access token is missing, invalid, audience is incorrect \
                 (https://cognitiveservices.azure.com), or have expired.";
    let ended = serde_json::json!({ "statusCode": 401, "message": token }).to_string();
    for body in [azure("401", key), azure("Unauthorized", token), ended] {
        let verdict = judge(401, &[], &body);
        assert_eq!(verdict.then, Then::RefreshFirst, "{body}");
        assert!(
            matches!(verdict.outcome, Outcome::Denied { until: None, .. }),
            "{body}"
        );
    }
    let role = "The principal `0000` lacks the required data action \
                `Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action` to perform `POST \
                /openai/deployments/{deployment-id}/chat/completions` operation.";
    for (status, code, message) in [
        (401, "PermissionDenied", role),
        (
            401,
            "PermissionDenied",
            "Principal does not have access to API/Operation.",
        ),
        (403, "403", "Access denied due to Virtual Network/Firewall rules."),
        (
            403,
            "403",
            "Public access is disabled. Please configure private endpoint.",
        ),
        (
            403,
            "403",
            "A Virtual Network is configured for this resource. Please use the correct endpoint for making requests.",
        ),
        (
            403,
            "Forbidden",
            "Your resource has been temporarily blocked because we detected unusual behavior.",
        ),
    ] {
        let verdict = judge(status, &[], &azure(code, message));
        let Outcome::Denied { until, .. } = verdict.outcome else {
            panic!("{message}")
        };
        assert_eq!(
            (verdict.then, until),
            (Then::NextAccount, Some(NOW + PROBE_AFTER_MS)),
            "{message}"
        );
    }
}

#[test]
fn a_deployments_quota_is_over_until_azure_says() {
    let limited = |wait: &str| {
        let message = format!(
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token \
             rate limit of your current OpenAI S0 pricing tier. Please retry after {wait} seconds."
        );
        azure("429", &message)
    };
    // The family is the model's, as is a deployment.
    let seven = Some(NOW + 7_000);
    for (headers, body) in [
        (&[("retry-after", "7")][..], azure("429", "words")),
        (&[("retry-after", "7"), ("retry-after-ms", "7000")], limited("7")),
        (&[], limited("7")),
    ] {
        let verdict = judge(429, headers, &body);
        assert_eq!(throttle(&verdict), (seven, Some("gpt-5")), "{body}");
        assert_eq!(verdict.then, Then::NextAccount);
    }
    // The request has more tokens than the deployment has per minute: a smaller one is served at once.
    let verdict = judge(429, &[("retry-after", "86400")], &limited("86400"));
    assert_eq!(throttle(&verdict), (None, Some("gpt-5")));
    assert_eq!(verdict.then, Then::NextAccount);
}

#[test]
fn azures_own_problems_are_not_the_accounts() {
    for (status, code) in [
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (408, "Timeout"),
    ] {
        assert_eq!(
            judge(status, &[], &azure(code, "words")).then,
            Then::NextAccount,
            "{code}"
        );
    }
}
