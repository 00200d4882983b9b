#!/bin/sh
# Who may do what with a key: users, a role assumed from another account, and a grant, with the real AWS CLI.
#
#   make demo-identities            starts a server and runs this
#   demo/who-may-do-what.sh         runs it against a server of yours, in a shell that has read its env.sh
#
# Needs `aws` and `strongroom` on the PATH, and the root access key as default profile: env.sh sees to that. What it makes in IAM it deletes
# again; the second account stays, and the key waits seven days for its deletion.
set -eu

data=$(cd "$(dirname "$AWS_SHARED_CREDENTIALS_FILE")" && pwd)
partner=444455556666

# --- how commands are shown, and what their outcome must be

exec 3>&1
if [ -t 1 ]; then bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m') reset=$(printf '\033[0m')
else bold='' green='' red='' reset=''; fi

step() { printf '\n%s%s%s\n' "$bold" "$1" "$reset" >&3; }
say() { printf '  %s\n' "$1" >&3; }
# show COMMAND...: show it as it can be typed.
show() {
    printf '  %s$%s' "$green" "$reset" >&3
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./:=,@%+-]*) printf " '%s'" "$word" >&3 ;;
            *) printf ' %s' "$word" >&3 ;;
        esac
    done
    printf '\n' >&3
}
fail() { printf '%s\n' "$*" >&2; exit 1; }

# allowed COMMAND...: show a command and run it; a refusal ends the script.
allowed() { show "$@"; "$@"; }

# printed COMMAND...: the same, and its output is shown.
printed() {
    output=$(allowed "$@")
    printf '%s\n' "$output" | sed 's/^/  /' >&3
}

# refused WORDS COMMAND...: show a command and run it; it must be refused, in words that contain these.
refused() {
    expected=$1
    shift
    show "$@"
    if words=$("$@" 2>&1 >/dev/null); then fail "this call should have been refused"; fi
    case $words in
        *"An error occurred (AccessDenied"*"$expected"*) ;;
        *) fail "refused, but not because of: $expected$words" ;;
    esac
    printf '  %srefused%s  %s\n' "$red" "$reset" "${words#*operation: }" >&3
}

# All that is made is noted here, newest first, and deleted at the end, also after a failure.
undo=''
later() { undo="$*
$undo"; }

clean_up() {
    status=$?
    trap - EXIT
    while read -r command; do
        $command </dev/null >/dev/null || status=1
    done <<EOF
$undo
EOF
    rm -r "$scratch"
    exit "$status"
}

scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
cd "$scratch"

# profile NAME ACCESS_KEY_ID SECRET [SESSION_TOKEN]
profile() {
    printf '\n[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$1" "$2" "$3" >>credentials
    if [ $# -gt 3 ]; then printf 'aws_session_token = %s\n' "$4" >>credentials; fi
}

# --- the demo

step "Two accounts"
grep -q "^\[$partner\]" "$data/credentials" || printed strongroom account create $partner --data "$data"
# Each access key becomes a profile in a copy of the file that has the root access keys.
cp "$data/credentials" credentials
export AWS_SHARED_CREDENTIALS_FILE="$scratch/credentials" AWS_PAGER=''
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
root=$(allowed aws sts get-caller-identity --query Arn --output text)
say "This one is $root; the other one is $partner."

step "Three users without any permission"
for name in payroll-admin payroll-producer payroll-consumer; do
    arn=$(allowed aws iam create-user --user-name $name --query User.Arn --output text)
    later aws iam delete-user --user-name $name
    # An access key's secret is shown once, here.
    # shellcheck disable=SC2046 # three words are wanted
    set -- $(allowed aws iam create-access-key --user-name $name --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
    later aws iam delete-access-key --user-name $name --access-key-id "$1"
    profile $name "$1" "$2"
done
users=${arn%/*} # arn:aws:iam::ACCOUNT:user

step "A key whose policy separates their duties"
cat >key-policy.json <<EOF
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "OnlyTheRootDecidesWhoMayUseTheKey",
      "Effect": "Allow",
      "Principal": {"AWS": "$root"},
      "Action": ["kms:PutKeyPolicy", "kms:CreateGrant", "kms:RevokeGrant"],
      "Resource": "*",
      "Condition": {"StringEquals": {"aws:PrincipalType": "Account"}}
    },
    {
      "Sid": "IamPoliciesDecideWhoManagesTheKey",
      "Effect": "Allow",
      "Principal": {"AWS": "$root"},
      "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:Enable*", "kms:Disable*", "kms:ScheduleKeyDeletion"],
      "Resource": "*"
    },
    {
      "Sid": "TheProducerEncrypts",
      "Effect": "Allow",
      "Principal": {"AWS": "$users/payroll-producer"},
      "Action": "kms:Encrypt",
      "Resource": "*"
    },
    {
      "Sid": "TheConsumerDecryptsPayroll",
      "Effect": "Allow",
      "Principal": {"AWS": "$users/payroll-consumer"},
      "Action": "kms:Decrypt",
      "Resource": "*",
      "Condition": {"StringEquals": {"kms:EncryptionContext:department": "payroll"}}
    }
  ]
}
EOF
key=$(allowed aws kms create-key --policy file://key-policy.json --query KeyMetadata.Arn --output text)
say "$key"
key_id=${key##*/}
later aws kms schedule-key-deletion --key-id "$key_id" --pending-window-in-days 7

step "The administrator manages the key, but cannot use it"
cat >manage-keys.json <<EOF
{
  "Version": "2012-10-17",
  "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "$key"}
}
EOF
allowed aws iam put-user-policy --user-name payroll-admin --policy-name manage-keys --policy-document file://manage-keys.json
later aws iam delete-user-policy --user-name payroll-admin --policy-name manage-keys
echo "4,200.00" >salary
allowed aws kms enable-key-rotation --key-id "$key_id" --profile payroll-admin
refused "because no resource-based policy allows the kms:Encrypt action" \
    aws kms encrypt --key-id "$key_id" --plaintext fileb://salary --profile payroll-admin
refused "because no resource-based policy allows the kms:PutKeyPolicy action" \
    aws kms put-key-policy --key-id "$key_id" --policy-name default --policy file://manage-keys.json --profile payroll-admin
say "The identity policy says kms:*, but the key policy delegates only the management of the key to identity policies."

step "The producer encrypts, but cannot decrypt"
blob=$(allowed aws kms encrypt --key-id "$key_id" --plaintext fileb://salary --encryption-context department=payroll \
    --query CiphertextBlob --output text --profile payroll-producer)
echo "$blob" | base64 -d >payroll.blob
blob=$(allowed aws kms encrypt --key-id "$key_id" --plaintext fileb://salary --encryption-context department=sales \
    --query CiphertextBlob --output text --profile payroll-producer)
echo "$blob" | base64 -d >sales.blob
refused "on the resource associated with this ciphertext because no resource-based policy allows the kms:Decrypt action" \
    aws kms decrypt --ciphertext-blob fileb://payroll.blob --encryption-context department=payroll \
    --profile payroll-producer

step "The consumer decrypts payroll, and nothing else"
plain=$(allowed aws kms decrypt --ciphertext-blob fileb://payroll.blob --encryption-context department=payroll \
    --query Plaintext --output text --profile payroll-consumer)
say "decrypted: $(echo "$plain" | base64 -d)"
[ "$(echo "$plain" | base64 -d)" = "$(cat salary)" ] || fail "that is not what was encrypted"
refused "because no resource-based policy allows the kms:Decrypt action" \
    aws kms decrypt --ciphertext-blob fileb://sales.blob --encryption-context department=sales --profile payroll-consumer
refused "because no resource-based policy allows the kms:Encrypt action" \
    aws kms encrypt --key-id "$key_id" --plaintext fileb://salary --profile payroll-consumer

step "A user of the other account may assume a role of this one"
printed aws iam create-user --user-name examiner --profile $partner --query User.Arn --output text
later aws iam delete-user --user-name examiner --profile $partner
# shellcheck disable=SC2046 # three words are wanted
set -- $(allowed aws iam create-access-key --user-name examiner --profile $partner \
    --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
later aws iam delete-access-key --user-name examiner --access-key-id "$1" --profile $partner
profile examiner "$1" "$2"
cat >trust-policy.json <<EOF
{
  "Version": "2012-10-17",
  "Statement": {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::$partner:root"},
    "Action": "sts:AssumeRole",
    "Condition": {"StringEquals": {"sts:ExternalId": "audit-2026"}}
  }
}
EOF
role=$(allowed aws iam create-role --role-name payroll-auditor --assume-role-policy-document file://trust-policy.json \
    --query Role.Arn --output text)
later aws iam delete-role --role-name payroll-auditor
cat >assume-auditor.json <<EOF
{
  "Version": "2012-10-17",
  "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "$role"}
}
EOF
allowed aws iam put-user-policy --user-name examiner --policy-name assume-auditor \
    --policy-document file://assume-auditor.json --profile $partner
later aws iam delete-user-policy --user-name examiner --policy-name assume-auditor --profile $partner
refused "is not authorized to perform: sts:AssumeRole" \
    aws sts assume-role --role-arn "$role" --role-session-name spring --profile examiner
# shellcheck disable=SC2046 # three words are wanted
profile auditor $(allowed aws sts assume-role --role-arn "$role" --role-session-name spring --external-id audit-2026 \
    --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text --profile examiner)
refused "because the resource does not exist in this Region, no resource-based policies allow access" \
    aws kms decrypt --ciphertext-blob fileb://payroll.blob --encryption-context department=payroll --profile examiner
say "To other accounts, a key that they may not use looks like one that does not exist."
refused "because no resource-based policy allows the kms:Decrypt action" \
    aws kms decrypt --ciphertext-blob fileb://payroll.blob --encryption-context department=payroll --profile auditor

step "A grant lets the role decrypt payroll until the consumer retires it"
grant=$(allowed aws kms create-grant --key-id "$key_id" --grantee-principal "$role" --operations Decrypt \
    --retiring-principal "$users/payroll-consumer" \
    --constraints 'EncryptionContextSubset={department=payroll}' --query GrantId --output text)
printed aws kms decrypt --ciphertext-blob fileb://payroll.blob --encryption-context department=payroll \
    --query KeyId --output text --profile auditor
refused "because no resource-based policy allows the kms:Decrypt action" \
    aws kms decrypt --ciphertext-blob fileb://sales.blob --encryption-context department=sales --profile auditor
printed strongroom who-can kms:Decrypt --key "$key" --context department=payroll --data "$data"
allowed aws kms retire-grant --key-id "$key" --grant-id "$grant" --profile payroll-consumer
refused "because no resource-based policy allows the kms:Decrypt action" \
    aws kms decrypt --ciphertext-blob fileb://payroll.blob --encryption-context department=payroll --profile auditor
say "The session is still valid; it was the grant that let it decrypt."

step "Why: the operator asks strongroom explain and who-can"
printed strongroom explain --principal "$users/payroll-consumer" --action kms:Decrypt --key "$key" \
    --context department=payroll --data "$data"
if why=$(allowed strongroom explain --principal "$role" --action kms:Decrypt --key "$key" \
    --context department=payroll --data "$data"); then fail "explain says that the role may still decrypt"; fi
echo "$why" | sed 's/^/  /'
case $why in DENIED*) ;; *) fail "explain did not answer" ;; esac
printed strongroom who-can kms:Decrypt --key "$key" --context department=payroll --data "$data"

step "Everything made in IAM is deleted again; the key waits seven days"
