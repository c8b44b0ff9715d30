"""The file of `ray up`: by Ray's own validator, by EC2's own model, and started on an EC2 that is a fake."""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import jsonschema
import pytest
import yaml
from cluster.manifests import CLUSTER, ROOT

TEXT = (CLUSTER / "aws/cluster.yaml").read_text()
CONFIG = yaml.safe_load(TEXT)
TYPES = CONFIG["available_node_types"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def check(config: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` makes of it first; private, as Ray offers no other way without a cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(deepcopy(config))
    validate_config(prepared)
    return prepared


def not_of_ec2(node: dict[str, Any]) -> str:
    """What RunInstances knows nothing of; Ray passes a node_config on as it is. SubnetIds is Ray's."""
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    asked = {key: value for key, value in node.items() if key != "SubnetIds"} | {"MinCount": 1, "MaxCount": 1}
    return botocore.validate.ParamValidator().validate(asked, shape).generate_report()


def test_ray_and_ec2_take_it():
    check(CONFIG)
    assert {name: not_of_ec2(of["node_config"]) for name, of in TYPES.items()} == dict.fromkeys(TYPES, "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("max_worker", 3),
        ("docker/imagee", "x"),
        ("auth/ssh_users", "x"),
        ("available_node_types/gpu/min_worker", 1),
        ("available_node_types/gpu/resources/GPU", 0.5),
        ("head_node_type", "haed"),
        ("max_workers", 1),
    ],
)
def test_a_typo_or_a_wrong_value_is_found(path, value):
    config = deepcopy(CONFIG)
    *way, last = path.split("/")
    at = config
    for step in way:
        at = at[step]
    at[last] = value
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        check(config)


@pytest.mark.parametrize("typo", [{"InstanceMarketOption": {}}, {"MetadataOptions": {"HttpToken": "required"}}])
def test_a_typo_in_what_ec2_is_asked_for_is_found(typo):
    assert next(iter(typo)) in not_of_ec2(TYPES["gpu"]["node_config"] | typo)


def test_networks_on_spot_nodes_with_gpu_readers_on_others_and_neither_on_the_head():
    assert TYPES["gpu"]["resources"]["GPU"] == 1
    assert TYPES["gpu"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert TYPES["head"]["resources"] == {"CPU": 0}
    assert TYPES["readers"]["resources"].keys() == {"CPU"}
    assert [name for name, of in TYPES.items() if "InstanceMarketOptions" in of["node_config"]] == ["gpu"]
    assert TYPES["readers"]["min_workers"] == TYPES["readers"]["max_workers"] > 0
    assert CONFIG["max_workers"] == TYPES["readers"]["max_workers"] + TYPES["gpu"]["max_workers"]
    assert all(set(of["labels"]) == {"encdec-batch/nodes"} for of in TYPES.values())


def test_tokens_are_on_on_every_node_and_the_dashboard_is_bound_to_loopback():
    starts = [
        command
        for commands in (CONFIG["head_start_ray_commands"], CONFIG["worker_start_ray_commands"])
        for command in commands
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ray start ") for command in starts)
    assert "--dashboard-host=127.0.0.1 " in starts[0]
    options = " ".join(CONFIG["docker"]["run_options"])
    (folder,) = CONFIG["file_mounts"]
    assert "--env RAY_AUTH_MODE=token" in options
    assert f"--env RAY_AUTH_TOKEN_PATH={folder}/" in options
    assert any("/cluster/bin/watch-spot" in command for command in CONFIG["worker_start_ray_commands"])


def test_nothing_is_open_to_the_internet_and_no_key_is_written():
    for of in TYPES.values():
        node = of["node_config"]
        # Where none is named, Ray makes a group that lets the whole world to port 22.
        assert node["SecurityGroupIds"]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert node["IamInstanceProfile"]["Arn"].startswith("arn:aws:iam::")
        assert all(disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"])
    assert CONFIG["provider"]["use_internal_ips"] is True
    assert not re.search(r"AKIA|SECRET|PASSWORD|_TOKEN=(?!.*PATH)", TEXT)


def test_the_images_are_of_this_version():
    tags = re.findall(r"encdec-batch:(\S+)", TEXT)
    assert set(tags) == {f"{VERSION}-cpu", f"{VERSION}-cuda"}


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ray_starts_such_nodes_on_a_fake_ec2(tmp_path, monkeypatch):
    """Ray's own provider against moto: keys, groups, subnets and roles fit each other."""
    import boto3
    from moto import mock_aws
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    region = CONFIG["provider"]["region"]
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for name, value in {**dict.fromkeys(keys, "fake"), "AWS_DEFAULT_REGION": region, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        ec2, iam = boto3.client("ec2"), boto3.client("iam")
        filled = _filled(ec2, iam, CONFIG["provider"]["availability_zone"].split(","))
        config = bootstrap_aws(check(filled))
        (before,) = [
            group["GroupId"]
            for group in ec2.describe_security_groups()["SecurityGroups"]
            if group["GroupName"] == "ours"
        ]
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name, of in config["available_node_types"].items():
            provider.create_node(dict(of["node_config"]), {"ray-node-name": name, "ray-user-node-type": name}, 1)
        started = [node for answer in ec2.describe_instances()["Reservations"] for node in answer["Instances"]]
    assert [(node["InstanceType"], node.get("InstanceLifecycle")) for node in started] == [
        (of["node_config"]["InstanceType"], "spot" if name == "gpu" else None) for name, of in TYPES.items()
    ]
    assert {group["GroupId"] for node in started for group in node["SecurityGroups"]} == {before}
    assert {node["MetadataOptions"]["HttpTokens"] for node in started} == {"required"}
    assert Path(tmp_path, ".ssh").is_dir()


def _filled(ec2: Any, iam: Any, zones: list[str]) -> dict[str, Any]:
    """The file with what a reader is to replace replaced, by things that are there."""
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    text = TEXT.replace(
        "sg-REPLACE", ec2.create_security_group(GroupName="ours", Description="-", VpcId=network)["GroupId"]
    )
    for number, zone in enumerate(zones):
        subnet = ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)
        text = text.replace(f"subnet-REPLACE-{'ABC'[number]}", subnet["Subnet"]["SubnetId"])
    for name in ("encdec-batch-head", "encdec-batch-node"):
        arn = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
        text = text.replace(f"arn:aws:iam::111122223333:instance-profile/{name}", arn)
    assert "REPLACE" not in text
    return yaml.safe_load(text)
