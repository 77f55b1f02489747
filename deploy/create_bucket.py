"""Create the bucket PLATFORM_BUCKET where it is missing; endpoint and keys are the AWS_* variables.

For the object store of this stack only: a bucket of yours has its owner, region and policy, and is not created here.
"""

import os

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """Safe to run again; any refusal but "there is none" is an error."""
    client, bucket = boto3.client("s3"), os.environ["PLATFORM_BUCKET"]
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=bucket)


if __name__ == "__main__":
    main()
